"""A second detector beside the one in use: it scores the same readings and tells nobody."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.decide import decide
from pipeline.idle import give_up_idle
from pipeline.incident import Event
from pipeline.records import Partition, Readings
from pipeline.steps import Steps
from pipeline.turn import ShadowTurn, Turn
from pipeline.watch import AsBefore, DetectorWatch, Refused, reason

Unit = tuple[Partition, str]


class Shadow:
    """Owns the steps of the second detector, and which incidents of both overlap."""

    def __init__(self, watch: DetectorWatch[Steps], now_s: float) -> None:
        """Load it, if it can be used; the worker starts in any case.

        Args:
            watch: of its folder.
            now_s: monotonic clock.
        """
        self._watch = watch
        self.steps: Steps | None = None
        """None while there is none that can be used."""
        self._refused: Refused | None = None
        """Why, until it is told."""
        try:
            self.steps = watch.first(now_s)
        except Exception as error:
            self._refused = Refused(reason(error))
        self._overlaps = Overlaps()
        self._has_missed = True
        """Whether incidents may be open that opened unseen: before, or on a replay."""

    def look(self, now_s: float) -> Steps | Refused | AsBefore | None:
        """What became of it since the last look. Another one in its folder begins anew.

        Args:
            now_s: monotonic clock.
        """
        if self._refused is not None:
            refused, self._refused = self._refused, None
            return refused
        found = self._watch.look(now_s)
        if isinstance(found, Steps):
            self.steps, self._overlaps = found, Overlaps()
            self._has_missed = True
        return found

    def follow(self, turn: Turn, in_use: Steps) -> ShadowTurn | None:
        """Put one turn's readings through the steps, and hold what comes of it against it.

        Of readings that are read again nothing is counted.

        Args:
            turn: of the detector in use.
            in_use: that detector's steps.

        Returns:
            None without a detector, or once it has failed: that is no reason for the one in
            use to end. It is tried again when its folder has changed.
        """
        if self.steps is None:
            return None
        try:
            return self._follow(self.steps, turn, in_use)
        except Exception as error:
            self.steps = None
            self._watch.decline("")
            self._refused = Refused(reason(error))
            return None

    def _follow(self, steps: Steps, turn: Turn, in_use: Steps) -> ShadowTurn:
        records = turn.records
        decoded = turn.taken.decoded
        if in_use.loaded.detector.sensors != steps.loaded.detector.sensors:
            decoded, _ = steps.decoder.decode(records)
        readings, row_N, _ = steps.units.admit(decoded, records)
        emitted = steps.windows.extend(readings, row_N, steps.units.n_rows)
        stretches = [decide(steps, readings, windows) for windows in emitted]
        if records.is_replay:
            self._has_missed = True
            return ShadowTurn(np.empty(0, np.float32), 0, Counter())
        if self._has_missed:
            self._has_missed = False
            self._overlaps.begin(_open_units(in_use), _open_units(steps))
        events = [event for each in stretches for event in each.decisions.events]
        found_by = self._overlaps.follow(turn.events, events)
        score_B = np.concatenate([each.scores.score_B for each in stretches])
        n_opened = sum(event.state == "opened" for event in events)
        return ShadowTurn(score_B, n_opened, found_by)

    def give_up_idle(self, readings: Readings) -> None:
        """Forget units that are silent for long; `readings` are the last turn's."""
        if self.steps is not None:
            give_up_idle(self.steps, readings)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Clear all that is remembered of these partitions' units."""
        if self.steps is not None:
            self.steps.forget(partitions)
        self._overlaps.forget(partitions)


def _open_units(steps: Steps) -> list[Unit]:
    partitions, number_U = steps.units.partitions()
    rows = steps.incidents.open_incidents()
    return [(partitions[number_U[row]], steps.units.names[row]) for row in rows]


@dataclass(slots=True)
class _Episode:
    """A time in which one unit has an incident open in either detector."""

    open_by: set[str]
    seen_by: set[str]


class Overlaps:
    """Owns the episodes that are not over: of each unit one at most."""

    def __init__(self) -> None:
        self._episodes: dict[Unit, _Episode] = {}

    def begin(self, detector: Iterable[Unit], shadow: Iterable[Unit]) -> None:
        """Take note of what is open now, however it came to be."""
        for who, units in (("detector", detector), ("shadow", shadow)):
            for unit in units:
                episode = self._episodes.setdefault(unit, _Episode(set(), set()))
                episode.open_by.add(who)
                episode.seen_by.add(who)

    def follow(self, detector: Sequence[Event], shadow: Sequence[Event]) -> Counter[str]:
        """Take what opened and closed in one turn, and count what is over by who saw it:
        `both`, `detector` or `shadow`."""
        events = [("detector", each) for each in detector]
        events += [("shadow", each) for each in shadow]
        over: Counter[str] = Counter()
        # What closes as the other one opens is seen by both.
        for who, event in sorted(
            events, key=lambda e: (e[1].time_s, e[1].state == "closed")
        ):
            unit = (event.partition, event.unit)
            episode = self._episodes.setdefault(unit, _Episode(set(), set()))
            episode.seen_by.add(who)
            if event.state != "closed":
                episode.open_by.add(who)
                continue
            episode.open_by.discard(who)
            if not episode.open_by:
                del self._episodes[unit]
                over["both" if len(episode.seen_by) == 2 else who] += 1
        return over

    def forget(self, partitions: Collection[Partition]) -> None:
        """Forget these partitions' units."""
        for unit in [unit for unit in self._episodes if unit[0] in partitions]:
            del self._episodes[unit]
