"""Going on where another worker, or this one before, left off.

What is remembered of units is a function of their last readings. So a commit says, in a
note beside the offset, from where to read again; see `Reach`. Whoever is assigned the
partition begins there and, up to the committed offset, rebuilds what is remembered and
tells nobody. What an open incident remembers of readings long ago stands in the note.

A detector takes over from another one in the same way: windows are filled by reading again,
open incidents go on, and scores look back no further than to where it took over.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import structlog

from pipeline.incident import Explanation, OpenIncident
from pipeline.note import NOTHING, Incident, LeftOut, Note, mark
from pipeline.note_codec import NoteCodec
from pipeline.records import NOWHERE, Partition, Readings, Record, Records, behind
from pipeline.steps import Steps
from pipeline.transport.base import Committed, Consumer

log = structlog.get_logger()

NO_INCIDENTS: Mapping[Partition, Sequence[Incident]] = MappingProxyType({})


class Recovery:
    """Owns up to where each partition is being read again, and incidents to be restored."""

    def __init__(self, max_records: int) -> None:
        """Args:
        max_records: of a partition, at most read again. Units whose last readings lie
            further back are not rebuilt as a whole.
        """
        self._max_records = max_records
        self._end_of: dict[Partition, int] = {}
        self._to_restore: dict[Partition, Note] = {}
        self._begun: dict[Partition, tuple[int, int]] = {}
        self._left_out: dict[Partition, Mapping[bytes, LeftOut] | None] = {}
        self._to_find: dict[Partition, dict[bytes, LeftOut]] = {}
        self._scores_from: dict[Partition, int] = {}
        self._to_cross: dict[Partition, int] = {}
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

    def take_over(
        self,
        consumer: Consumer,
        stored: Mapping[Partition, Committed],
        codec: NoteCodec,
        incidents: Mapping[Partition, Sequence[Incident]] = NO_INCIDENTS,
    ) -> int:
        """Take over these partitions, as `begin` does each. Returns how many records are
        read again.

        Raises:
            TransportError: the consumer cannot be led there. All are taken over; those that
                are to be read again are `unfinished`.
        """
        begins = {
            partition: self.begin(partition, committed, codec, incidents.get(partition))
            for partition, committed in stored.items()
        }
        n_records = 0
        for partition, begin in begins.items():
            if begin is not None:
                consumer.seek(partition, begin)
                n_records += stored[partition].next_offset - begin
        return n_records

    def begin(
        self,
        partition: Partition,
        committed: Committed,
        codec: NoteCodec,
        incidents: Sequence[Incident] | None = None,
    ) -> int | None:
        """Take over a partition, to be read from the offset that is returned.

        None: from the committed one, where there is no note that belongs to it. Who sets
        the group's offsets by a tool leaves none: then units start anew.

        Args:
            partition: which.
            committed: what is stored of it.
            codec: of the detector that goes on.
            incidents: that are open, if it is known better than from the note.
        """
        end = committed.next_offset
        note = codec.decode(committed.note)
        if note is None or note.next_offset != end:
            self._begun[partition] = (end, end)
            if incidents:
                self._to_restore[partition] = Note(end, end, incidents)
            return None
        if incidents is not None:
            note = replace(note, incidents=incidents, left_out=NOTHING)
        begin = max(note.replay_from, end - self._max_records)
        self._begun[partition] = (begin, end)
        self._end_of[partition] = end
        self._to_restore[partition] = note
        self._left_out[partition] = note.left_out
        others = (note.left_out or NOTHING).items()
        if to_find := {name: each for name, each in others if each.opened_by}:
            self._to_find[partition] = to_find
        if begin < note.scores_from:
            self._scores_from[partition] = note.scores_from
            self._to_cross[partition] = note.scores_from
        return begin

    def unfinished(self, partitions: Collection[Partition]) -> frozenset[Partition]:
        """Those of these of which not all that is to be read again is known to be."""
        return frozenset(self._end_of.keys() & set(partitions))

    def hand_over(self, next_offsets: Mapping[Partition, int]) -> None:
        """From these offsets on, the next to be dealt with, another detector scores."""
        self._scores_from.update(next_offsets)

    def reopens(self, partition: Partition, unit: str, opened_at_s: float) -> bool:
        """Whether this incident is open, and not restored: what is read again opens it."""
        if partition in self._to_cross:
            return False
        left_out = self._left_out.get(partition)
        return left_out is None or mark(unit, opened_at_s) in left_out

    def forget(self, partitions: Collection[Partition]) -> None:
        """Give these up."""
        for partition in partitions:
            self._begun.pop(partition, None)
            self._forget_note(partition)
            self._units_out_of_reach.pop(partition, None)
            self._incidents_out_of_reach.pop(partition, None)

    def _forget_note(self, partition: Partition) -> None:
        self._end_of.pop(partition, None)
        self._to_restore.pop(partition, None)
        self._left_out.pop(partition, None)
        self._to_find.pop(partition, None)
        self._scores_from.pop(partition, None)
        self._to_cross.pop(partition, None)

    def restore(self, steps: Steps, records: Records, readings: Readings) -> None:
        """Have `steps` remember what they should before these records, of which these are
        the readings; no batch is in hand."""
        if records.is_replay and self._to_find:
            self._find(steps, readings)
        for partition, note in self._to_restore.items():
            for unit, incident in note.incidents:
                steps.restore(partition, unit, incident)
        self._to_restore.clear()
        for partition in self._to_cross.keys() & records.next_offsets.keys():
            if records.next_offsets[partition] > self._to_cross[partition]:
                steps.forget_scores(steps.units.rows_of(partition))
                del self._to_cross[partition]

    def _find(self, steps: Steps, readings: Readings) -> None:
        """Restore what another detector opened with one of these readings."""
        wanted = [self._to_find.get(partition) for partition in readings.partitions]
        nothing_F = np.zeros(len(steps.loaded.detector.sensors), dtype=np.float32)
        why = Explanation(nothing_F, nothing_F * np.nan, nothing_F, nothing_F[:0])
        for i, number in enumerate(readings.partition_N.tolist()):
            to_find, unit = wanted[number], readings.units[i]
            time_s = float(readings.time_s_N[i])
            found = to_find.pop(mark(unit, time_s), None) if to_find else None
            if found is None:
                continue
            incident = OpenIncident(
                opened_at_s=time_s,
                peak_score=found.peak_score,
                told_score=found.peak_score,
                explanation=why,
                replay_from=int(readings.offset_N[i]),
                is_restored=True,
                opened_by=found.opened_by,
            )
            steps.restore(readings.partitions[number], unit, incident)

    def split(self, records: Records) -> Iterator[Records]:
        """A poll's records: first those that were dealt with before, then the others.

        Of the former, those that another detector has scored come apart.
        """
        # Not every record, for as long as some other partition has nothing new.
        if self._begun.keys() & records.next_offsets.keys():
            self._look_at_first(records)
        if not self._end_of.keys() & records.next_offsets.keys():
            yield records
            return
        others: list[Record] = []
        before: list[Record] = []
        after: list[Record] = []
        for record in records.records:
            partition = Partition(record.topic, record.partition)
            if record.offset >= self._end_of.get(partition, 0):
                after.append(record)
            elif record.offset >= self._scores_from.get(partition, 0):
                before.append(record)
            else:
                others.append(record)
        for replayed in (others, before):
            if replayed:
                yield Records(replayed, behind(replayed), is_replay=True)
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
                self._forget_note(partition)
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
        notes = {}
        for partition, end in next_offsets.items():
            begin = min(end, least.get(partition, end))
            note = self._note(partition, end, begin, incidents[partition])
            notes[partition] = text = steps.codec.encode(note, floor[partition])
            self._incidents_out_of_reach[partition] = _n_unknown(
                text, note.incidents, floor[partition], steps.codec
            )
        return notes

    def _note(
        self, partition: Partition, end: int, begin: int, incidents: Sequence[Incident]
    ) -> Note:
        earliest = min([begin, *(incident.replay_from for _, incident in incidents)])
        if earliest >= self._scores_from.get(partition, 0):
            # Whoever takes over will not look back so far.
            self._scores_from.pop(partition, None)
        scores_from = self._scores_from.get(partition, 0)
        return Note(end, begin, incidents, scores_from=scores_from)


def _n_unknown(
    text: str, incidents: Sequence[Incident], floor: int, codec: NoteCodec
) -> int:
    """How many of the incidents neither this note nor a replay would bring back."""
    if not incidents:
        return 0
    note = codec.decode(text)
    known = set() if note is None else {unit for unit, _ in note.incidents}
    is_named = note is not None and note.left_out is not None
    return sum(
        not text
        or not floor <= incident.replay_from < NOWHERE
        or (incident.opened_by != "" and not is_named)
        for unit, incident in incidents
        if unit not in known
    )
