"""Bytes that are no reading, and the word under which each is refused."""

import pytest

from pipeline.decode import REASONS, Decoder
from tests.builders import SENSORS, polled, reading_json, record

MAX_BYTES = 10_000
DEEP = b"[" * 4_000 + b"]" * 4_000


def reason(value: bytes | None, sensors: tuple[str, ...] = SENSORS) -> str:
    """Why one record is refused; nothing of it may be taken."""
    readings, rejects = Decoder(sensors, MAX_BYTES, max_ahead_s=3600.0).decode(
        polled(record(value))
    )
    assert len(readings) == 0
    [reject] = rejects
    assert reject.record.value == value
    assert reject.detail
    assert reject.reason in REASONS
    return reject.reason


def with_unit(unit: bytes) -> bytes:
    return b'{"unit": %s, "time": 1, "values": {}}' % unit


def with_time(time: bytes) -> bytes:
    return b'{"unit": "pump-7", "time": %s, "values": {}}' % time


def with_values(values: bytes) -> bytes:
    return b'{"unit": "pump-7", "time": 1, "values": %s}' % values


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"\x00\x01",
        b"not json",
        b"{'unit': 1}",
        reading_json()[:-1],
        reading_json() + b"x",
        reading_json().decode().encode("utf-16"),
        b"\xef\xbb\xbf" + reading_json(),
        with_values(b'{"pressure": NaN}'),
        with_values(b'{"pressure": -Infinity}'),
        with_values(b'{"humidity": NaN}'),
        with_time(b"NaN"),
        with_unit(b'"\xff"'),
        with_unit(b'"\xed\xa0\x80"'),
        with_unit(b'"\\ud800"'),
        with_unit(b'"\\udc00\\ud800"'),
    ],
)
def test_what_is_not_json_is_refused(value: bytes | None) -> None:
    assert reason(value) == "not_json"


@pytest.mark.parametrize(
    "value",
    [
        b"1",
        b"null",
        b'"text"',
        b"{}",
        b"[]",
        b"[[]]",
        DEEP,
        b'{"time": 1, "values": {}}',
        b'{"unit": "pump-7", "values": {}}',
        b'{"unit": "pump-7", "time": 1}',
        with_unit(b'""'),
        with_unit(b"null"),
        with_unit(b"7"),
        with_unit(b'"' + b"x" * 257 + b'"'),
        with_values(b"null"),
        with_values(b"[1, 2, 3]"),
        with_values(b'{"humidity": ' + DEEP + b"}"),
    ],
)
def test_json_of_another_shape_is_no_reading(value: bytes) -> None:
    assert reason(value) == "not_a_reading"


@pytest.mark.parametrize(
    "time",
    [
        b"null",
        b"true",
        b"{}",
        b"1e999",
        b"9" * 400,
        b"-1",
        b"1700000000123",  # milliseconds
        b"253402300800",
        b'""',
        b'"1700000000"',
        b'"yesterday"',
        b'"2023-02-30T00:00:00Z"',
        b'"2023-11-14T25:00:00Z"',
        b'"1969-12-31T23:59:59Z"',
        b'"0001-01-01T00:00:00+23:59"',
        b'"9999-12-31T23:59:59-23:59"',
    ],
)
def test_a_time_that_cannot_be_is_refused(time: bytes) -> None:
    assert reason(with_time(time)) == "bad_time"


@pytest.mark.parametrize("number", [b"1e999", b"1e39", b"-1e39", b"9" * 400])
def test_a_value_outside_float32_is_refused(number: bytes) -> None:
    assert reason(with_values(b'{"pressure": %s}' % number)) == "bad_value"


@pytest.mark.parametrize("value", ["12", True, [1], {"value": 1}])
def test_a_value_that_is_no_number_is_refused(value: object) -> None:
    assert reason(reading_json(values={"pressure": value})) == "bad_value"


@pytest.mark.parametrize("sensor", ["time", "time_to_failure", "a.time", "b.values.c"])
def test_a_bad_value_is_named_so_whatever_its_sensor_is_called(sensor: str) -> None:
    assert reason(reading_json(values={sensor: "12"}), (sensor,)) == "bad_value"


def test_a_record_over_the_limit_is_refused_unread() -> None:
    assert reason(b"x" * (MAX_BYTES + 1)) == "too_large"
    assert reason(b"x" * MAX_BYTES) == "not_json"


def test_a_record_of_more_values_than_memory_is_worth_is_too_large() -> None:
    readings = b"[%s]" % b",".join([with_values(b"{}")] * 30)
    many_sensors = tuple(f"sensor-{i}" for i in range(50_000))

    assert reason(readings, many_sensors) == "too_large"
