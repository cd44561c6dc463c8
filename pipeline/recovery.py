"""Going on where another worker, or this one before, left off.

What is remembered of units is a function of their last readings. So a commit says, in a
note beside the offset, from where to read again; see `Reach`. Whoever is assigned the
partition begins there and, up to the committed offset, rebuilds what is remembered and
tells nobody. What an open incident remembers of readings long ago stands in the note.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from pipeline.note import Incident, Note, NoteCodec
from pipeline.reach import NOWHERE
from pipeline.records import Partition, Record, Records, behind
from pipeline.steps import Steps
from pipeline.transport.base import Committed


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
        self.n_out_of_reach = 0
        """Units that would not be rebuilt as a whole, as of the last notes."""

    def begin(self, partition: Partition, committed: Committed) -> int | None:
        """Take over a partition, to be read from the offset that is returned.

        None: from the committed one, where there is no note that belongs to it. Who sets
        the group's offsets by a tool leaves none: then units start anew.
        """
        note = self._codec.decode(committed.note)
        if note is None or note.next_offset != committed.next_offset:
            return None
        self._end_of[partition] = note.next_offset
        self._to_restore[partition] = note
        return note.replay_from

    def forget(self, partitions: Collection[Partition]) -> None:
        """Give these up."""
        for partition in partitions:
            self._end_of.pop(partition, None)
            self._to_restore.pop(partition, None)

    def restore(self, steps: Steps) -> None:
        """Put the incidents of partitions taken over into `steps`; no batch is in hand."""
        for partition, note in self._to_restore.items():
            for unit, incident in note.incidents:
                row = steps.units.row(partition, unit)
                steps.incidents.restore(row, incident, steps.units.n_rows)
        self._to_restore.clear()

    def split(self, records: Records) -> Iterator[Records]:
        """A poll's records: first those that were dealt with before, then the others."""
        if not self._end_of:
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
        self.n_out_of_reach = int((offset_K < floor_P[number_K]).sum())
        incidents: defaultdict[Partition, list[Incident]] = defaultdict(list)
        for row, incident in steps.incidents.open_incidents().items():
            incidents[partitions[number_U[row]]].append((steps.units.names[row], incident))
        return {
            partition: self._codec.encode(
                Note(end, min(end, least.get(partition, end)), incidents[partition]),
                floor[partition],
            )
            for partition, end in next_offsets.items()
        }
