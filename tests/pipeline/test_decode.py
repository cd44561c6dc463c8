"""Bytes to columns: what is a reading, and what becomes of it."""

import json
import math

import numpy as np
import pytest

from pipeline.decode import Decoder
from pipeline.records import Partition, Readings
from tests.builders import SENSORS, polled, reading_json, record

MAX_BYTES = 10_000


def decoder(sensors: tuple[str, ...] = SENSORS) -> Decoder:
    return Decoder(sensors, max_record_bytes=MAX_BYTES, max_ahead_s=3600.0)


def decoded(value: bytes, sensors: tuple[str, ...] = SENSORS) -> Readings:
    """The readings of one record that must not be refused."""
    readings, rejects = decoder(sensors).decode(polled(record(value)))
    assert rejects == []
    return readings


def with_time(time: bytes) -> bytes:
    return b'{"unit": "pump-7", "time": %s, "values": {}}' % time


def with_values(values: bytes) -> bytes:
    return b'{"unit": "pump-7", "time": 1, "values": %s}' % values


def test_values_stand_in_the_order_of_the_detectors_sensors() -> None:
    value = reading_json("pump-7", 12.5, {"vibration": 3, "pressure": 1, "temperature": 2})

    readings = decoded(value)

    assert readings.units == ["pump-7"]
    assert readings.time_s_N.tolist() == [12.5]
    assert readings.values_NF.dtype == np.float32
    assert readings.values_NF.tolist() == [[1.0, 2.0, 3.0]]


def test_rejects_are_in_the_order_of_their_records() -> None:
    values = [with_time(b"-1"), b"junk", with_values(b'{"pressure": 1e39}'), b"junk"]

    _, rejects = decoder().decode(polled(*(record(value) for value in values)))

    assert [reject.record.value for reject in rejects] == values


def test_of_several_bad_readings_in_a_record_the_first_is_told() -> None:
    value = b"[%s, %s]" % (with_time(b"-1"), with_time(b"-2"))

    _, (reject,) = decoder().decode(polled(record(value)))

    assert "got -1 " in reject.detail


def test_null_and_absent_values_are_missing() -> None:
    readings = decoded(reading_json(values={"pressure": None, "temperature": 2}))

    np.testing.assert_array_equal(readings.values_NF, [[math.nan, 2, math.nan]])


def test_sensors_the_detector_does_not_know_are_ignored_whatever_they_hold() -> None:
    value = with_values(b'{"humidity": "wet", "door": {"open": [1e999]}}')

    assert np.isnan(decoded(value).values_NF).all()


def test_fields_beside_the_contracts_are_ignored() -> None:
    assert decoded(reading_json(site="north")).units == ["pump-7"]


def test_of_a_key_given_twice_the_last_counts() -> None:
    readings = decoded(with_values(b'{"pressure": 1, "pressure": 2}'))

    assert readings.values_NF[0, 0] == 2.0


@pytest.mark.parametrize("number", [b"-0.0", b"1e-999", b"1e38", b"9" * 30])
def test_any_number_within_float32_is_a_value(number: bytes) -> None:
    readings = decoded(with_values(b'{"pressure": %s}' % number))

    assert readings.values_NF[0, 0] == np.float32(float(number))


@pytest.mark.parametrize("name", ["é", "a.b", "unit", "class", "sensor_0", "0"])
def test_a_sensor_may_have_any_plain_name(name: str) -> None:
    readings = decoded(reading_json(values={name: 5}), (name,))

    assert readings.values_NF.tolist() == [[5.0]]


@pytest.mark.parametrize(
    ("time", "expected_s"),
    [
        (b"0", 0.0),
        (b"1700000000", 1_700_000_000.0),
        (b"1700000000.1234567", 1_700_000_000.123457),
        (b'"2023-11-14T22:13:20Z"', 1_700_000_000.0),
        (b'"2023-11-14T22:13:20"', 1_700_000_000.0),
        (b'"2023-11-14 22:13:20.25+00:00"', 1_700_000_000.25),
        (b'"2023-11-15T03:43:20+05:30"', 1_700_000_000.0),
        (b'"20231114T221320Z"', 1_700_000_000.0),
        (b'"2023-11-14"', 1_699_920_000.0),
        (b'"9999-12-31T23:59:59Z"', 253_402_300_799.0),
    ],
)
def test_time_is_iso_8601_or_seconds_and_utc_unless_it_says_otherwise(
    time: bytes, expected_s: float
) -> None:
    assert decoded(with_time(time)).time_s_N.tolist() == [expected_s]


def test_a_time_may_lie_ahead_of_its_records_timestamp_by_the_limit_at_most() -> None:
    values = [reading_json(time=1_000_000.0 + s) for s in (3600.0, 3600.001)]
    records = polled(*(record(value, timestamp_ms=1_000_000_000) for value in values))

    readings, [reject] = decoder().decode(records)

    assert readings.time_s_N.tolist() == [1_003_600.0]
    assert (reject.record.value, reject.reason) == (values[1], "bad_time")


def test_without_a_record_timestamp_no_time_is_too_far_ahead() -> None:
    value = with_time(b'"2999-01-01T00:00:00Z"')

    assert len(decoded(value)) == 1


def test_a_record_may_hold_an_array_of_readings() -> None:
    first, second, last = (reading_json(unit) for unit in ("a", "b", "c"))
    records = polled(
        record(b"[" + first + b"," + second + b"]", offset=40, partition=3),
        record(last, offset=9, partition=1),
    )

    readings, rejects = decoder().decode(records)

    assert rejects == []
    assert readings.units == ["a", "b", "c"]
    assert readings.record_N.tolist() == [0, 0, 1]
    assert readings.offset_N.tolist() == [40, 40, 9]
    partitions = [readings.partitions[p] for p in readings.partition_N.tolist()]
    assert partitions == [Partition("readings", p) for p in (3, 3, 1)]


@pytest.mark.parametrize(
    "bad",
    [
        reading_json(unit=""),
        reading_json(time="x"),
        reading_json(values={"pressure": "x"}),
        reading_json(values={"pressure": 1e39}),
        b"7",
    ],
)
def test_one_bad_reading_refuses_its_whole_array_and_nothing_else(bad: bytes) -> None:
    good = reading_json("good")
    array = b"[" + good + b"," + bad + b"," + good + b"]"

    readings, rejects = decoder().decode(
        polled(record(good, offset=1), record(array, offset=2), record(good, offset=3))
    )

    assert [reject.record.offset for reject in rejects] == [2]
    assert readings.offset_N.tolist() == [1, 3]


def test_no_records_are_no_readings() -> None:
    readings, rejects = decoder().decode(polled())

    assert (len(readings), rejects) == (0, [])
    assert readings.values_NF.shape == (0, len(SENSORS))


def test_the_design_documents_example_is_a_reading() -> None:
    value = json.dumps(
        {
            "unit": "pump-7",
            "time": "2026-11-22T07:00:00.250Z",
            "values": {"pressure": 1.2, "temperature": 71.5},
        }
    ).encode()

    assert decoded(value).time_s_N.tolist() == [1_795_330_800.25]
