"""What one turn of the worker's loop takes, sees and decides."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from pipeline.incident import Decisions, Event
from pipeline.records import FloatArray, Partition, Readings, Records, Reject, Scores
from pipeline.window import LiveWindows


@dataclass(frozen=True, slots=True)
class Taken:
    """The records of one turn, decoded. No unit's state is touched yet."""

    taken_at_s: float
    """When, in seconds since the epoch."""
    records: Records
    decoded: Readings
    unreadable: list[Reject]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Windows between which no unit was silent for long, and what came of them."""

    windows: LiveWindows
    scores: Scores
    decisions: Decisions

    def without(self, partitions: Collection[Partition]) -> "Stretch":
        """The same, with nothing to tell of these partitions."""
        events = [e for e in self.decisions.events if e.partition not in partitions]
        return replace(self, decisions=self.decisions._replace(events=events))


@dataclass(frozen=True, slots=True)
class ShadowTurn:
    """What another detector says of the same readings. Nobody is told."""

    score_B: FloatArray
    n_opened: int
    found_by: Counter[str]
    """Incidents that are over, by who had one of that unit open at the same time: `both`,
    `detector` or `shadow` alone."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The records of one turn and what came of them, step by step."""

    taken: Taken
    readings: Readings
    """Those of the decoded ones whose units are known."""
    refused: list[Reject]
    """Records of units that are too many."""
    stretches: list[Stretch]
    """In order; nearly always one."""
    shadow: ShadowTurn | None = None

    @property
    def events(self) -> list[Event]:
        """Every change of an incident that is to be told of."""
        return [event for each in self.stretches for event in each.decisions.events]

    @property
    def records(self) -> Records:
        """All that were taken."""
        return self.taken.records

    @property
    def rejects(self) -> list[Reject]:
        """Every record that is to be dead-lettered."""
        return self.taken.unreadable + self.refused

    def without(self, partitions: Collection[Partition]) -> "Turn":
        """The same, with nothing to publish or to commit of these partitions."""
        taken = replace(
            self.taken,
            records=replace(
                self.records,
                next_offsets=self.records.without(partitions).next_offsets,
            ),
            unreadable=_of_others(self.taken.unreadable, partitions),
        )
        return replace(
            self,
            taken=taken,
            refused=_of_others(self.refused, partitions),
            stretches=[each.without(partitions) for each in self.stretches],
        )


def _of_others(rejects: list[Reject], partitions: Collection[Partition]) -> list[Reject]:
    return [
        reject
        for reject in rejects
        if Partition(reject.record.topic, reject.record.partition) not in partitions
    ]
