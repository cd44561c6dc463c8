"""Going on where another worker, or this one before, left off.

What is remembered of units is a function of their last readings. So a commit says, in a
note beside the offset, from where to read again; see `Reach`. Whoever is assigned the
partition begins there and, up to the committed offset, rebuilds what is remembered and
tells nobody. What an open incident remembers of readings long ago stands in the note.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import structlog

from pipeline.note import Incident, Note, NoteCodec, mark
from pipeline.records import NOWHERE, Partition, Record, Records, behind
from pipeline.steps import Steps
from pipeline.transport.base import Committed

log = structlog.get_logger()


class Recovery:
    """Owns up to where each partition is being read again, and incidents to be restored."""

    def __init__(self, codec: NoteCodec, max_records: int) -> None:
        """Args:
        codec: of the notes.
        max_records: of a partition, at most read again. Units whose last readings lie
            further back are not rebuilt as a whole.
        """
        self._codec = codec
        self._max_records = max_records
        self._end_of: dict[Partition, int] = {}
        self._to_restore: dict[Partition, Note] = {}
        self._begun: dict[Partition, tuple[int, int]] = {}
        self._reopened: dict[Partition, frozenset[int] | None] = {}
        self._units_out_of_reach: dict[Partition, int] = {}
        self._incidents_out_of_reach: dict[Partition, int] = {}
        self._n_missed = 0

    @property
    def n_units_out_of_reach(self) -> int:
        """Units that would not be rebuilt as a whole, as of the last notes."""
        return sum(self._units_out_of_reach.values())

    @property
    def n_incidents_out_of_reach(self) -> int:
        """Open incidents that whoever takes over would know nothing of."""
        return sum(self._incidents_out_of_reach.values())

    def take_missed(self) -> int:
        """Offsets, not told of yet, between a committed one and the first record found."""
        n_missed, self._n_missed = self._n_missed, 0
        return n_missed

    def begin(self, partition: Partition, committed: Committed) -> int | None:
        """Take over a partition, to be read from the offset that is returned.

        None: from the committed one, where there is no note that belongs to it. Who sets
        the group's offsets by a tool leaves none: then units start anew.
        """
        note = self._codec.decode(committed.note)
        if note is None or note.next_offset != committed.next_offset:
            self._begun[partition] = (committed.next_offset, committed.next_offset)
            return None
        self._begun[partition] = (note.replay_from, note.next_offset)
        self._end_of[partition] = note.next_offset
        self._to_restore[partition] = note
        self._reopened[partition] = note.reopened
        return note.replay_from

    def reopens(self, partition: Partition, unit: str, opened_at_s: float) -> bool:
        """Whether this incident is open, and not restored: what is read again opens it."""
        marks = self._reopened.get(partition)
        return marks is None or mark(unit, opened_at_s) in marks

    def forget(self, partitions: Collection[Partition]) -> None:
        """Give these up."""
        for partition in partitions:
            self._end_of.pop(partition, None)
            self._to_restore.pop(partition, None)
            self._begun.pop(partition, None)
            self._units_out_of_reach.pop(partition, None)
            self._incidents_out_of_reach.pop(partition, None)

    def restore(self, steps: Steps) -> None:
        """Put the incidents of partitions taken over into `steps`; no batch is in hand."""
        for partition, note in self._to_restore.items():
            for unit, incident in note.incidents:
                row = steps.units.row(partition, unit)
                steps.incidents.restore(row, incident, steps.units.n_rows)
        self._to_restore.clear()

    def split(self, records: Records) -> Iterator[Records]:
        """A poll's records: first those that were dealt with before, then the others."""
        # Not every record, for as long as some other partition has nothing new.
        if self._begun.keys() & records.next_offsets.keys():
            self._look_at_first(records)
        if not self._end_of.keys() & records.next_offsets.keys():
            yield records
            return
        before: list[Record] = []
        after: list[Record] = []
        for record in records.records:
            end = self._end_of.get(Partition(record.topic, record.partition), 0)
            (before if record.offset < end else after).append(record)
        if before:
            yield Records(before, behind(before), is_replay=True)
        if after:
            reached = {Partition(record.topic, record.partition) for record in after}
            for partition in reached & self._end_of.keys():
                del self._end_of[partition]
            next_offsets = {p: records.next_offsets[p] for p in reached}
            yield Records(after, next_offsets)

    def _look_at_first(self, records: Records) -> None:
        """See whether each partition begins where it was left."""
        for record in records.records:
            partition = Partition(record.topic, record.partition)
            begun = self._begun.pop(partition, None)
            if begun is None:
                continue
            replay_from, next_offset = begun
            if record.offset < replay_from:
                # Another log than the one that was left: nothing of it was dealt with.
                log.warning("log_begins_anew", partition=str(partition))
                self._end_of.pop(partition, None)
                self._to_restore.pop(partition, None)
            elif record.offset > next_offset:
                n_missed = record.offset - next_offset
                log.warning("offsets_missed", partition=str(partition), n_offsets=n_missed)
                self._n_missed += n_missed

    def notes(
        self, next_offsets: Mapping[Partition, int], steps: Steps
    ) -> dict[Partition, str]:
        """What to store beside these offsets, up to which `steps` has seen all."""
        partitions, number_U = steps.units.partitions()
        offset_U = steps.reach.offset_U[: len(number_U)]
        is_known_U = offset_U != NOWHERE
        number_K, offset_K = number_U[: len(offset_U)][is_known_U], offset_U[is_known_U]
        least_P = np.full(len(partitions), NOWHERE)
        np.minimum.at(least_P, number_K, offset_K)
        least = dict(zip(partitions, least_P.tolist(), strict=True))
        floor = {p: max(0, end - self._max_records) for p, end in next_offsets.items()}
        floor_P = np.array([floor.get(p, 0) for p in partitions], dtype=np.int64)
        out_of_reach_P = np.bincount(
            number_K[offset_K < floor_P[number_K]], minlength=len(partitions)
        )
        n_of = dict(zip(partitions, out_of_reach_P.tolist(), strict=True))
        self._units_out_of_reach |= {p: n_of.get(p, 0) for p in next_offsets}
        incidents: defaultdict[Partition, list[Incident]] = defaultdict(list)
        for row, incident in steps.incidents.open_incidents().items():
            incidents[partitions[number_U[row]]].append((steps.units.names[row], incident))
        notes = {
            partition: self._codec.encode(
                Note(end, min(end, least.get(partition, end)), incidents[partition]),
                floor[partition],
            )
            for partition, end in next_offsets.items()
        }
        for partition, text in notes.items():
            self._incidents_out_of_reach[partition] = self._n_unknown(
                text, incidents[partition], floor[partition]
            )
        return notes

    def _n_unknown(self, text: str, incidents: Sequence[Incident], floor: int) -> int:
        """How many of the incidents neither this note nor a replay would bring back."""
        far = [
            unit
            for unit, incident in incidents
            if incident.replay_from < floor or incident.replay_from == NOWHERE or not text
        ]
        note = self._codec.decode(text) if far else None
        return len(set(far).difference(unit for unit, _ in note.incidents) if note else far)
