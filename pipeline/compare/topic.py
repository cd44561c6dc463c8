"""A stretch of the readings topic, with what the units need to be warm at its begin."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pipeline.compare.source import Batch
from pipeline.errors import InputError
from pipeline.records import Partition, Record, Records, behind
from pipeline.times import iso_time, length_s, moment_s, parse_iso_s
from pipeline.transport.reader import Reader, stretch

MAX_RECORDS = 10_000
"""Largest poll, and so the largest batch."""
PEEKED_RECORDS = 10_000
"""Of each partition, by which is estimated how many records warming up takes."""
MARGIN = 1.5
"""So many times as many are read: units do not take turns as evenly as that."""
FEW_PER_UNIT = 3.0
"""With fewer peeked readings per unit there may be as many units again."""
MAX_WARM_UP = 1_000_000
"""Records, over all partitions."""
ANSWER_TIMEOUT_S = 30.0


class _Reading(msgspec.Struct):
    unit: str


@dataclass(frozen=True, slots=True)
class Range:
    """What to read: records by the time that Kafka has of them, up to a number."""

    from_s: float
    to_s: float
    """Not with it. Seconds since the epoch."""
    limit: int


class TopicSource:
    """The records of a range. The same ones at each reading, whatever is written meanwhile.

    Owns where in each partition it begins and ends.
    """

    def __init__(self, reader: Reader, topic: str, asked: Range, n_needed: int) -> None:
        """Find the range.

        Args:
            reader: of the topic.
            topic: its name.
            asked: what to read.
            n_needed: of a unit's readings, before the range, to begin as a worker goes on.

        Raises:
            InputError: there is no record in it.
            TransportError: Kafka refused, or did not answer in time.
        """
        self._reader = reader
        self._limit = asked.limit
        self.name = f"{topic}, {iso_time(asked.from_s)} to {iso_time(asked.to_s)}"
        self.notes: list[str] = []
        kept = dict(reader.begins(ANSWER_TIMEOUT_S))
        newest = dict(reader.ends(ANSWER_TIMEOUT_S))
        self._begins = newest | self._at(asked.from_s)
        self._ends = newest | self._at(asked.to_s)
        n_records = self._n_left(self._begins)
        if n_records <= 0:
            raise InputError(f"{self.name}: there are no records of that time")
        self._warm_up = self._warm_up_begins(kept, n_needed)

    def batches(self) -> Iterator[Batch]:
        n_before = sum(self._begins[p] - at for p, at in self._warm_up.items())
        n_all = n_before + min(self._n_left(self._begins), self._limit)
        n_read = 0
        for records in self._read(self._warm_up, self._begins):
            n_read += len(records)
            yield _batch(records, True, n_read / n_all)
        n_left = self._limit
        reached = dict(self._begins)
        for records in self._read(self._begins, self._ends):
            taken = records[:n_left]
            n_left -= len(taken)
            n_read += len(taken)
            reached |= behind(taken)
            yield _batch(taken, False, min(1.0, n_read / n_all))
            if n_left == 0:
                self._stop_at(reached)
                return

    def _read(
        self, begins: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> Iterator[list[Record]]:
        own_ends = {partition: ends[partition] for partition in begins}
        for records in stretch(
            self._reader, begins, own_ends, MAX_RECORDS, ANSWER_TIMEOUT_S
        ):
            if records:
                yield records

    def _stop_at(self, reached: Mapping[Partition, int]) -> None:
        """End there from now on, too."""
        if any(self._ends[partition] > at for partition, at in reached.items()):
            self.notes.append(
                f"Only the first {self._limit:,} records were read (--limit)."
            )
        self._ends |= reached
        self._limit = self._n_left(self._begins) + 1

    def _at(self, time_s: float) -> dict[Partition, int]:
        time_ms = max(0, math.ceil(time_s * 1e3))
        return dict(self._reader.offsets_at(time_ms, ANSWER_TIMEOUT_S))

    def _n_left(self, begins: Mapping[Partition, int]) -> int:
        """Offsets, of which some may hold no record."""
        return sum(max(0, self._ends[p] - at) for p, at in begins.items())

    def _warm_up_begins(
        self, kept: Mapping[Partition, int], n_needed: int
    ) -> dict[Partition, int]:
        """From where units have what they need once the range begins."""
        cold = {p: at for p, at in self._begins.items() if kept[p] < at < self._ends[p]}
        if not cold:
            return {}
        peeked_ends = {p: min(at + PEEKED_RECORDS, self._ends[p]) for p, at in cold.items()}
        seen = {p: _Seen() for p in cold}
        for records in self._read(cold, peeked_ends):
            for record in records:
                seen[Partition(record.topic, record.partition)].add(record)
        n_most = MAX_WARM_UP // len(cold)
        wanted = {p: seen[p].n_records_for(n_needed) for p in cold}
        if any(n > n_most for n in wanted.values()):
            self.notes.append(
                f"Warming up was cut to the {MAX_WARM_UP:,} records before the range: "
                "units that had sent too little in them have no score at first."
            )
        return {p: max(kept[p], at - int(min(wanted[p], n_most))) for p, at in cold.items()}


class _Seen:
    """Owns what was seen of one partition's records."""

    def __init__(self) -> None:
        self._n_records = 0
        self._n_readings = 0
        self._units: set[str] = set()
        self._decoder = msgspec.json.Decoder(_Reading | list[_Reading])

    def add(self, record: Record) -> None:
        """Look at one; one that is no reading says nothing."""
        self._n_records += 1
        try:
            content = self._decoder.decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        readings = content if isinstance(content, list) else [content]
        self._n_readings += len(readings)
        self._units |= {reading.unit for reading in readings}

    def n_records_for(self, n_needed: int) -> float:
        """How many hold so many readings of each unit; infinite where units are too many
        to be counted by what was seen."""
        if not self._n_readings:
            return 0.0
        if self._n_readings < FEW_PER_UNIT * len(self._units) and self._is_whole_peek():
            return math.inf
        n_readings = n_needed * len(self._units) * MARGIN
        return math.ceil(n_readings * self._n_records / self._n_readings)

    def _is_whole_peek(self) -> bool:
        return self._n_records >= PEEKED_RECORDS


def _batch(records: list[Record], is_warm_up: bool, done: float) -> Batch:
    return Batch(Records(records, behind(records)), is_warm_up, done)


def parse_moment(text: str, now_s: float) -> float:
    """`2026-11-28T07:00`, seconds since 1970, or `24h` for so long before now.

    Returns:
        Seconds since the epoch, before the year 10000; 0 for what was before 1970.

    Raises:
        InputError: none of them.
    """
    try:
        if text.replace(".", "", 1).isdecimal():
            return moment_s(float(text))
        return moment_s(parse_iso_s(text) if "-" in text else now_s - length_s(text))
    except ValueError as error:
        raise InputError(
            f"{text!r}: expected a time (2026-11-28T07:00, UTC unless it says otherwise), "
            "before the year 10000, or how long ago (90min, 24h, 7d)"
        ) from error
