"""The values that travel between the steps. One poll's readings travel as columns.

Shape letters, everywhere: N readings, B windows, T time steps, F features (sensors).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]
FloatArray: TypeAlias = npt.NDArray[np.float32]
TimeArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

NOWHERE = np.iinfo(np.int64).max
"""An offset behind all others, where there is nothing to read."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Record(Protocol):
    """One Kafka record as a transport hands it over. Bytes are never decoded here.

    A protocol, not a class, so that a client's own record object passes without a copy.
    """

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; -1 if the record has none."""
        ...

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True, slots=True)
class Records:
    """What one poll returned: grouped by partition, in offset order within each."""

    records: Sequence[Record]
    next_offsets: Mapping[Partition, int]
    """Per partition that returned anything, the offset of the next record to read."""
    is_replay: bool = False
    """Read only to rebuild what is remembered of units: all of it was dealt with before."""

    def without(self, partitions: Collection[Partition]) -> "Records":
        """Those of other partitions."""
        return replace(
            self,
            records=[
                r for r in self.records if Partition(r.topic, r.partition) not in partitions
            ],
            next_offsets={
                p: offset for p, offset in self.next_offsets.items() if p not in partitions
            },
        )


def parts(records: Records, max_bytes: int) -> Iterator[Records]:
    """Cut what a poll returned so that no part's values take more than `max_bytes`.

    A part has at least one record. Each has its own next offsets, so that it can be
    committed before the next is begun.
    """
    part: list[Record] = []
    n_bytes = 0
    for record in records.records:
        record_bytes = len(record.value or b"")
        if part and n_bytes + record_bytes > max_bytes:
            yield Records(part, behind(part), records.is_replay)
            part, n_bytes = [], 0
        part.append(record)
        n_bytes += record_bytes
    # What the poll says of a partition may lie behind its last record.
    done = {p: records.next_offsets[p] for p in behind(part)}
    if part:
        yield Records(part, done, records.is_replay)


def behind(records: Sequence[Record]) -> dict[Partition, int]:
    """Per partition, the offset after the last of these records."""
    return {Partition(r.topic, r.partition): r.offset + 1 for r in records}


@dataclass(frozen=True, slots=True)
class Message:
    """One record to publish."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None
    """Milliseconds since the epoch; None lets the client stamp it."""
    source: Partition | None = None
    """What it came of, where it came of a record. It is not sent."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Decoded readings as columns, in the order of their records.

    A Kafka record may hold several readings, so offsets repeat.
    """

    units: list[str]
    time_s_N: TimeArray
    """Seconds since the epoch, UTC, rounded to a microsecond."""
    values_NF: FloatArray
    """One column per sensor of the detector, in its order. NaN where missing."""
    record_N: IntArray
    """Index, within the poll's `Records.records`, of the record a reading came in."""
    offset_N: IntArray
    partition_N: IntArray
    """Index into `partitions`."""
    partitions: tuple[Partition, ...]

    def __len__(self) -> int:
        return len(self.units)

    def take(self, index: IntArray) -> "Readings":
        """The readings at these positions, in this order."""
        return Readings(
            units=[self.units[i] for i in index.tolist()],
            time_s_N=self.time_s_N[index],
            values_NF=self.values_NF[index],
            record_N=self.record_N[index],
            offset_N=self.offset_N[index],
            partition_N=self.partition_N[index],
            partitions=self.partitions,
        )


class Scores(NamedTuple):
    """What a detector says of B windows."""

    score_B: FloatArray
    """>= 0, dimensionless; 1.0 is the threshold."""
    contribution_BF: FloatArray
    """Each sensor's share of the error, 0 to 1, summing to 1 (to 0 without any error)."""
    observed_BF: FloatArray
    """The newest reading, in the sensors' own units; NaN where missing."""
    expected_BF: FloatArray
    """What the network expected of the newest reading, in the sensors' own units."""
    latent_BL: FloatArray
    """Latent vectors of the windows at or above the threshold, as exact as 16 bits hold
    them; 0 for others. Of size 0 where they are not asked for."""


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that is not taken, whole, and why."""

    record: Record
    reason: str
    """One of a small fixed set of words: it becomes a metric's label."""
    detail: str
    """For a person: what was expected, what came."""


def of_other_records(readings: Readings, refused: set[int]) -> IntArray:
    """Positions of the readings that are not of these records: a record is taken whole or
    not at all."""
    refused_R = np.fromiter(refused, dtype=np.int64)
    return np.flatnonzero(~np.isin(readings.record_N, refused_R))


def group_starts(number_N: IntArray) -> IntArray:
    """Where, among numbers >= 0 of which equal ones stand together, each group begins."""
    return np.flatnonzero(np.diff(number_N, prepend=-1))
