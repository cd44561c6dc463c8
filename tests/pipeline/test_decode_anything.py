"""Whatever bytes arrive, decoding raises nothing and loses no record."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decode import REASONS, Decoder
from pipeline.times import END_OF_CALENDAR_S
from tests.builders import SENSORS, polled, reading_json, record

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2026-11-22T07:00:00Z", "pump-7", 1_700_000_000, 1e39])
)
NAMES = st.sampled_from(["unit", "time", "values", *SENSORS]) | st.text()
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=10,
)
READING_LIKE = st.fixed_dictionaries(
    {
        "unit": st.text() | JSON_VALUES,
        "time": st.floats(0, 1e10) | st.datetimes().map(str) | JSON_VALUES,
        "values": st.dictionaries(NAMES, st.floats() | JSON_VALUES) | JSON_VALUES,
    }
)


@st.composite
def mutated_json(draw: st.DrawFn) -> bytes:
    """A good reading in which some bytes were replaced, dropped or put in."""
    value = bytearray(reading_json(values={"pressure": 1.5, "temperature": -2e3}))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(value)))
        end = begin + draw(st.integers(0, 3))
        value[begin:end] = draw(st.binary(max_size=3))
    return bytes(value)


VALUES = (
    st.none()
    | st.binary()
    | mutated_json()
    | JSON_VALUES.map(lambda parsed: json.dumps(parsed).encode())
    | READING_LIKE.map(lambda parsed: json.dumps(parsed).encode())
    | st.lists(READING_LIKE, max_size=3).map(lambda parsed: json.dumps(parsed).encode())
    | st.just(reading_json())
)


@given(values=st.lists(VALUES, max_size=6), timestamp_ms=st.integers(-1, 2**41))
def test_every_record_ends_in_exactly_one_of_readings_and_rejects(
    values: list[bytes | None], timestamp_ms: int
) -> None:
    records = [
        record(value, offset=offset, timestamp_ms=timestamp_ms)
        for offset, value in enumerate(values)
    ]

    readings, rejects = Decoder(SENSORS, 1_000, 86_400.0).decode(polled(*records))

    taken = set(readings.offset_N.tolist())
    refused = [reject.record.offset for reject in rejects]
    assert sorted([*taken, *refused]) == list(range(len(values)))
    assert {reject.reason for reject in rejects} <= set(REASONS)
    assert not np.isinf(readings.values_NF).any()
    assert ((readings.time_s_N >= 0) & (readings.time_s_N < END_OF_CALENDAR_S)).all()
    for unit in readings.units:
        assert 1 <= len(unit.encode()) <= 4 * 256
    for column in (readings.time_s_N, readings.values_NF, readings.partition_N):
        assert len(column) == len(readings)


# A double holds microseconds until the year 2242.
@given(time_us=st.integers(0, 2**53))
def test_seconds_and_iso_8601_name_the_same_time(time_us: int) -> None:
    iso = np.datetime64(time_us, "us").astype(str) + "Z"
    records = polled(
        record(reading_json(time=time_us / 1e6)), record(reading_json(time=iso))
    )

    readings, _ = Decoder(SENSORS, 1_000, 86_400.0).decode(records)

    assert readings.time_s_N[0] == readings.time_s_N[1]
