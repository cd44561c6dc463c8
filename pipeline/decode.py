"""Bytes to columns: JSON records become `Readings`, and what cannot be read `Reject`s."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

from pipeline.errors import DecodeError
from pipeline.records import (
    FloatArray,
    IntArray,
    Partition,
    Readings,
    Records,
    Reject,
    group_starts,
    of_other_records,
)
from pipeline.times import END_OF_CALENDAR_S, parse_iso_s

MAX_UNIT_CHARS = 256
MAX_RECORD_VALUES = 1_000_000
"""Readings times sensors in one record. A megabyte of JSON holds 30,000 empty readings,
which for a detector of many sensors are gigabytes of missing values."""

REASONS = ("too_large", "not_json", "not_a_reading", "bad_time", "bad_value")

_UNREADABLE = (DecodeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoder:
    """Turns one poll's records into columns, for the sensors of one detector.

    A record is taken whole or rejected whole, also when it holds an array of readings: a
    half-taken record could neither be dead-lettered nor sent again after a repair.
    """

    def __init__(
        self, sensors: Sequence[str], max_record_bytes: int, max_ahead_s: float
    ) -> None:
        """Build the parser once, from the sensors' names.

        Args:
            sensors: the detector's sensors, in order; others are skipped unread.
            max_record_bytes: a larger value is rejected before it is parsed.
            max_ahead_s: how far a reading's time may lie ahead of its record's Kafka
                timestamp. One reading from the far future would make every later one of
                its unit late.
        """
        self._n_sensors = len(sensors)
        self._max_record_bytes = max_record_bytes
        self._max_ahead_s = max_ahead_s
        self._json = msgspec.json.Decoder(_schema(sensors))

    def decode(self, records: Records) -> tuple[Readings, list[Reject]]:
        """Return the readings, in record order, and the records that hold none.

        The shapes are those of `Readings`; F is the number of sensors given at the start.
        """
        parsed, record_index, rejects = self._parsed(records)
        readings = self._columns(records, parsed, record_index)
        refused = self._refused(records, readings, parsed)
        if refused:
            readings = readings.take(of_other_records(readings, set(refused)))
            # In record order, as dead letters are to be.
            rejects = dict(sorted((refused | rejects).items()))
        return readings, [
            Reject(records.records[index], *why) for index, why in rejects.items()
        ]

    def _parsed(
        self, records: Records
    ) -> tuple[list[Any], list[int], dict[int, tuple[str, str]]]:
        """Every record's readings, the record of each, and why others have none.

        This loop and the comprehensions of `_columns` are all that runs once a record.
        """
        parsed: list[Any] = []
        record_index: list[int] = []
        rejects: dict[int, tuple[str, str]] = {}
        decode, max_bytes = self._json.decode, self._max_record_bytes
        for index, record in enumerate(records.records):
            value = record.value
            try:
                if value is None or len(value) > max_bytes:
                    raise self._unparsed(value)
                content = decode(value)
                if type(content) is list:
                    self._check_number(content)
                    parsed += content
                    record_index += [index] * len(content)
                else:
                    parsed.append(content)
                    record_index.append(index)
            except _UNREADABLE as error:
                rejects[index] = _why(error)
        return parsed, record_index, rejects

    def _unparsed(self, value: bytes | None) -> DecodeError:
        """Why a record is not parsed at all."""
        if value is None:
            return DecodeError("not_json", "expected a JSON object, got an empty record")
        return DecodeError(
            "too_large",
            f"expected at most {self._max_record_bytes} bytes, got {len(value)}",
        )

    def _check_number(self, readings: list[Any]) -> None:
        max_readings = max(1, MAX_RECORD_VALUES // self._n_sensors)
        if len(readings) > max_readings:
            raise DecodeError(
                "too_large",
                f"expected at most {max_readings} readings of {self._n_sensors} sensors, "
                f"got {len(readings)}",
            )

    def _columns(
        self, records: Records, parsed: list[Any], record_index: list[int]
    ) -> Readings:
        offset_R, partition_R, partitions = _places(records)
        record_N = np.array(record_index, dtype=np.int64)
        return Readings(
            units=[reading.unit for reading in parsed],
            time_s_N=np.array([_time_s(reading.time) for reading in parsed]),
            values_NF=_values([reading.values for reading in parsed], self._n_sensors),
            record_N=record_N,
            offset_N=offset_R[record_N],
            partition_N=partition_R[record_N],
            partitions=partitions,
        )

    def _refused(
        self, records: Records, readings: Readings, parsed: list[Any]
    ) -> dict[int, tuple[str, str]]:
        """Records with a reading that cannot be taken: reason and detail of each."""
        refused: dict[int, tuple[str, str]] = {}
        timestamp_R = np.fromiter(
            (record.timestamp for record in records.records), np.float64
        )
        stamp_s_N = timestamp_R[readings.record_N] / 1e3
        time_s_N = readings.time_s_N
        is_in_calendar_N = (time_s_N >= 0.0) & (time_s_N < END_OF_CALENDAR_S)
        is_ahead_N = (time_s_N - stamp_s_N > self._max_ahead_s) & (stamp_s_N >= 0)
        # Of several in a record the first is told.
        for n in np.flatnonzero(~is_in_calendar_N | is_ahead_N).tolist():
            why = self._bad_time(parsed[n].time, time_s_N[n], stamp_s_N[n])
            refused.setdefault(int(readings.record_N[n]), ("bad_time", why))
        # float32 ends at 3.4e38; JSON does not.
        for n in np.flatnonzero(np.isinf(readings.values_NF).any(axis=1)).tolist():
            why = "expected values within the range of a 32-bit float (3.4e38)"
            refused.setdefault(int(readings.record_N[n]), ("bad_value", why))
        return refused

    def _bad_time(self, time: str | float, time_s: float, stamp_s: float) -> str:
        if isinstance(time, str) and math.isnan(time_s):
            return f"expected ISO 8601 or seconds, got {time[:40]!r}"
        if not 0.0 <= time_s < END_OF_CALENDAR_S:
            return (
                f"expected seconds since 1970, before the year 10000, got {time_s:g} "
                "(milliseconds, perhaps?)"
            )
        return (
            f"the time is {time_s - stamp_s:.0f} s ahead of the record's own timestamp "
            f"(limit {self._max_ahead_s:.0f} s)"
        )


def _time_s(time: str | float) -> float:
    """Seconds since the epoch, UTC; a time without an offset is UTC. NaN if it is none."""
    if isinstance(time, float):
        return round(time, 6)
    try:
        return parse_iso_s(time)
    except ValueError:
        return math.nan


def _values(values: list[Any], n_sensors: int) -> FloatArray:
    """The readings' values as one array, shape (N, F). NaN where missing."""
    flat = chain.from_iterable(map(msgspec.structs.astuple, values))
    try:
        # Four times as fast as an array of tuples; it takes no None, which is rare.
        values_64 = np.fromiter(flat, np.float64, len(values) * n_sensors)
    except TypeError:
        rows = [msgspec.structs.astuple(row) for row in values]
        values_64 = np.array(rows, dtype=np.float64)
    with np.errstate(over="ignore"):
        return values_64.reshape(len(values), n_sensors).astype(np.float32)


def _places(records: Records) -> tuple[IntArray, IntArray, tuple[Partition, ...]]:
    """Each record's offset and the number of its partition, and the partitions."""
    n_records = len(records.records)
    offset_R = np.fromiter((r.offset for r in records.records), np.int64, n_records)
    number_R = np.fromiter((r.partition for r in records.records), np.int64, n_records)
    number_of: dict[Partition, int] = {}
    first_G = group_starts(number_R)
    index_G = [
        number_of.setdefault(Partition(r.topic, r.partition), len(number_of))
        for r in (records.records[first] for first in first_G.tolist())
    ]
    size_G = np.diff(first_G, append=n_records)
    return offset_R, np.repeat(np.array(index_G, np.int64), size_G), tuple(number_of)


def _schema(sensors: Sequence[str]) -> Any:
    """The type of a record's value, generated so that only known sensors are decoded."""
    columns = [f"sensor_{i}" for i in range(len(sensors))]
    values = msgspec.defstruct(
        "Values",
        [(column, float | None, math.nan) for column in columns],
        rename=dict(zip(columns, sensors, strict=True)),
        gc=False,
    )
    unit = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UNIT_CHARS)]
    reading = msgspec.defstruct(
        "Reading", [("unit", unit), ("time", str | float), ("values", values)], gc=False
    )
    return reading | Annotated[list[reading], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]


def _why(error: Exception) -> tuple[str, str]:
    """Reason and detail of a record that could not be parsed."""
    match error:
        case DecodeError():
            return error.reason, str(error)
        case msgspec.ValidationError():
            return _reason(str(error)), str(error)[:500]
        case msgspec.DecodeError():
            return "not_json", str(error)[:500]
        case UnicodeDecodeError():
            return "not_json", f"not UTF-8: {error.reason}"
        case _:
            return "not_a_reading", "nested too deeply"


def _reason(message: str) -> str:
    """Which of `REASONS` a schema error is, told by the path that msgspec appends."""
    path = message.rpartition(" - at `$")[2]
    if ".values." in path:
        return "bad_value"
    if path.endswith(".time`"):
        return "bad_time"
    return "not_a_reading"
