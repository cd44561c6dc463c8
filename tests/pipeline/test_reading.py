"""The schema of readings says what the decoder takes, as far as a schema can."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import pipeline.reading
from pipeline.decode import Decoder
from pipeline.reading import messages
from pipeline.table import Table
from tests.builders import SENSORS, polled, record

SCHEMA_FILE = Path(pipeline.reading.__file__).with_name("reading.schema.json")
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
GOOD: dict[str, Any] = {
    "unit": "pump-7",
    "time": "2026-11-22T07:00:00.250Z",
    "values": {"pressure": 1.2, "temperature": None},
}
NUMBERS = st.floats(-3.4e38, 3.4e38) | st.integers(-(10**38), 10**38)
DATETIMES = st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1))
TIMES = (
    st.floats(0, 253_402_300_799)
    | st.integers(0, 253_402_300_799)
    | DATETIMES.map(datetime.isoformat)
    | DATETIMES.map(lambda time: f"{time}+05:30")
)
READINGS = st.fixed_dictionaries(
    {
        "unit": st.text(st.characters(codec="utf-8"), min_size=1, max_size=256),
        "time": TIMES,
        "values": st.dictionaries(st.sampled_from(SENSORS), st.none() | NUMBERS),
    },
    optional={"site": st.none() | st.text(st.characters(codec="utf-8")) | st.integers()},
)
JUNK: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.text(max_size=5) | st.sampled_from([-1, []])
)


def is_taken(content: object) -> bool:
    """Whether the decoder takes it for readings."""
    records = polled(record(json.dumps(content).encode(), timestamp_ms=-1))
    return not Decoder(SENSORS, 10**6, max_ahead_s=1.0).decode(records)[1]


@given(READINGS | st.lists(READINGS, min_size=1, max_size=3))
def test_what_the_schema_allows_is_taken(content: object) -> None:
    assert SCHEMA.is_valid(content)
    assert is_taken(content)


@given(READINGS, st.sampled_from(["unit", "time", "values", "pressure"]), JUNK)
def test_what_it_refuses_is_refused(reading: dict[str, Any], name: str, junk: Any) -> None:
    if name == "pressure":
        reading["values"][name] = junk
    else:
        reading[name] = junk

    # Of a name any short text is one.
    assert SCHEMA.is_valid(reading) or not is_taken(reading)
    assert SCHEMA.is_valid([reading]) == SCHEMA.is_valid(reading)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        [GOOD],
        [GOOD, GOOD],
        {**GOOD, "site": {"north": [1]}},
        {**GOOD, "values": {}},
        {**GOOD, "time": 0},
        {**GOOD, "time": 253_402_300_799.5},
        {**GOOD, "time": "1970-01-01T00:00:00Z"},
        {**GOOD, "time": "9999-12-31T23:59:59.5Z"},
        {**GOOD, "time": "2026-11-22"},
        {**GOOD, "time": "2026-11-22 07:00"},
        {**GOOD, "time": "2026-11-22T07:00:00+05:30"},
        {**GOOD, "unit": "x" * 256},
    ],
)
def test_these_are_readings(content: object) -> None:
    assert SCHEMA.is_valid(content)
    assert is_taken(content)


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        "reading",
        [],
        [[]],
        [GOOD, 7],
        without("unit"),
        without("time"),
        without("values"),
        {**GOOD, "unit": ""},
        {**GOOD, "unit": "x" * 257},
        {**GOOD, "unit": 7},
        {**GOOD, "unit": None},
        {**GOOD, "time": None},
        {**GOOD, "time": True},
        {**GOOD, "time": -1},
        {**GOOD, "time": 1_700_000_000_123},
        {**GOOD, "time": "1700000000"},
        {**GOOD, "time": "yesterday"},
        {**GOOD, "time": "1969-12-31T23:59:59Z"},
        {**GOOD, "time": "2026-13-01"},
        {**GOOD, "time": "2026-11-22T25:00:00Z"},
        {**GOOD, "values": None},
        {**GOOD, "values": [1.2]},
        {**GOOD, "values": {"pressure": "1.2"}},
        {**GOOD, "values": {"pressure": True}},
        {**GOOD, "values": {"pressure": 1e39}},
        {**GOOD, "values": {"pressure": {"value": 1}}},
    ],
)
def test_these_are_none(content: object) -> None:
    assert not SCHEMA.is_valid(content)
    assert not is_taken(content)


@pytest.mark.parametrize(
    ("content", "is_schema_stricter"),
    [
        # A schema knows no calendar, and no detector.
        ({**GOOD, "time": "2026-02-30T00:00:00Z"}, False),
        ({**GOOD, "time": "1970-01-01T00:00:00+01:00"}, False),
        # The decoder is kinder than the contract: do not rely on it.
        ({**GOOD, "time": "20261122T070000Z"}, True),
        ({**GOOD, "values": {"humidity": "wet"}}, True),
    ],
)
def test_where_they_differ(content: object, is_schema_stricter: bool) -> None:
    assert SCHEMA.is_valid(content) != is_schema_stricter
    assert is_taken(content) == is_schema_stricter


def test_a_row_of_a_table_is_a_reading_with_nothing_for_what_is_missing() -> None:
    table = Table(
        sensors=("pressure", "temperature"),
        units=("pump-7",),
        time_s_N=np.array([1_795_330_800.25, 1_795_330_801.0]),
        unit_N=np.zeros(2, dtype=np.int64),
        values_NF=np.array([[1.5, np.nan], [2.5, 3.5]], dtype=np.float32),
        label_N=None,
    )

    made = list(messages(table, "readings", 0, 2))

    assert [(message.topic, message.key) for message in made] == [
        ("readings", b"pump-7")
    ] * 2
    first, second = (json.loads(message.value or b"") for message in made)
    assert first["values"] == {"pressure": 1.5, "temperature": None}
    assert second["time"] == "2026-11-22T07:00:01Z"
    assert SCHEMA.is_valid([first, second])
