"""Bytes to columns: JSON records become `Readings`, and what cannot be read `Reject`s."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from pipeline.errors import DecodeError
from pipeline.records import (
    Partition,
    Readings,
    Record,
    Records,
    Reject,
    of_other_records,
)
from pipeline.times import END_OF_CALENDAR_S, parse_iso_s

MAX_UNIT_CHARS = 256
MAX_RECORD_VALUES = 1_000_000
"""Readings times sensors in one record. A megabyte of JSON holds 30,000 empty readings,
which for a detector of many sensors are gigabytes of missing values."""

REASONS = ("too_large", "not_json", "not_a_reading", "bad_time", "bad_value")


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
        units: list[str] = []
        times_s: list[float] = []
        values: list[tuple[float | None, ...]] = []
        record_index: list[int] = []
        rejects: list[Reject] = []
        for index, record in enumerate(records.records):
            try:
                parsed, parsed_times_s = self._parse(record)
            except DecodeError as error:
                rejects.append(Reject(record, error.reason, str(error)))
                continue
            times_s += parsed_times_s
            for reading in parsed:
                units.append(reading.unit)
                values.append(msgspec.structs.astuple(reading.values))
                record_index.append(index)
        readings = self._columns(records, units, times_s, values, record_index)
        # float32 ends at 3.4e38; JSON does not.
        infinite_N = np.isinf(readings.values_NF).any(axis=1)
        if not infinite_N.any():
            return readings, rejects
        refused = set(readings.record_N[infinite_N].tolist())
        rejects += [
            Reject(
                records.records[index],
                "bad_value",
                "expected values within the range of a 32-bit float (3.4e38)",
            )
            for index in sorted(refused)
        ]
        return readings.take(of_other_records(readings, refused)), rejects

    def _parse(self, record: Record) -> tuple[list[Any], list[float]]:
        if record.value is None:
            raise DecodeError("not_json", "expected a JSON object, got an empty record")
        if len(record.value) > self._max_record_bytes:
            raise DecodeError(
                "too_large",
                f"expected at most {self._max_record_bytes} bytes, got {len(record.value)}",
            )
        try:
            parsed = self._json.decode(record.value)
        except msgspec.ValidationError as error:
            raise DecodeError(_reason(str(error)), str(error)[:500]) from error
        except msgspec.DecodeError as error:
            raise DecodeError("not_json", str(error)[:500]) from error
        except UnicodeDecodeError as error:
            raise DecodeError("not_json", f"not UTF-8: {error.reason}") from error
        except RecursionError as error:
            raise DecodeError("not_a_reading", "nested too deeply") from error
        readings = parsed if isinstance(parsed, list) else [parsed]
        max_readings = max(1, MAX_RECORD_VALUES // self._n_sensors)
        if len(readings) > max_readings:
            raise DecodeError(
                "too_large",
                f"expected at most {max_readings} readings of {self._n_sensors} sensors, "
                f"got {len(readings)}",
            )
        return readings, [self._time_s(r.time, record.timestamp) for r in readings]

    def _time_s(self, time: str | float, record_timestamp_ms: int) -> float:
        """Seconds since the epoch, UTC; a time without an offset is taken as UTC.

        Raises:
            DecodeError: not ISO 8601, out of the calendar, or too far ahead.
        """
        if isinstance(time, str):
            try:
                time_s = parse_iso_s(time)
            except ValueError as error:
                raise DecodeError(
                    "bad_time", f"expected ISO 8601 or seconds, got {time[:40]!r}"
                ) from error
        else:
            time_s = round(time, 6)
        if not 0.0 <= time_s < END_OF_CALENDAR_S:
            raise DecodeError(
                "bad_time",
                f"expected seconds since 1970, before the year 10000, got {time_s:g} "
                "(milliseconds, perhaps?)",
            )
        if record_timestamp_ms >= 0:
            ahead_s = time_s - record_timestamp_ms / 1e3
            if ahead_s > self._max_ahead_s:
                raise DecodeError(
                    "bad_time",
                    f"the time is {ahead_s:.0f} s ahead of the record's own timestamp "
                    f"(limit {self._max_ahead_s:.0f} s)",
                )
        return time_s

    def _columns(
        self,
        records: Records,
        units: list[str],
        times_s: list[float],
        values: list[tuple[float | None, ...]],
        record_index: list[int],
    ) -> Readings:
        n_records = len(records.records)
        number_of: dict[Partition, int] = {}
        offset_R = np.fromiter((r.offset for r in records.records), np.int64, n_records)
        partition_R = np.fromiter(
            (
                number_of.setdefault(Partition(r.topic, r.partition), len(number_of))
                for r in records.records
            ),
            np.int64,
            n_records,
        )
        record_N = np.array(record_index, dtype=np.int64)
        with np.errstate(over="ignore"):
            values_NF = np.array(values, dtype=np.float64).astype(np.float32)
        return Readings(
            units=units,
            time_s_N=np.array(times_s, dtype=np.float64),
            values_NF=values_NF.reshape(len(units), self._n_sensors),
            record_N=record_N,
            offset_N=offset_R[record_N],
            partition_N=partition_R[record_N],
            partitions=tuple(number_of),
        )


def _schema(sensors: Sequence[str]) -> Any:
    """The type of a record's value, generated so that only known sensors are decoded."""
    columns = [f"sensor_{i}" for i in range(len(sensors))]
    values = msgspec.defstruct(
        "Values",
        [(column, float | None, None) for column in columns],
        rename=dict(zip(columns, sensors, strict=True)),
        gc=False,
    )
    unit = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_UNIT_CHARS)]
    reading = msgspec.defstruct(
        "Reading", [("unit", unit), ("time", str | float), ("values", values)], gc=False
    )
    return reading | Annotated[list[reading], msgspec.Meta(min_length=1)]  # type: ignore[valid-type]


def _reason(message: str) -> str:
    """Which of `REASONS` a schema error is, told by the path that msgspec appends."""
    path = message.rpartition(" - at `$")[2]
    if ".values." in path:
        return "bad_value"
    if path.endswith(".time`"):
        return "bad_time"
    return "not_a_reading"
