"""Alert records: the contract with every program that listens."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import pipeline.alert
from pipeline.alert import AlertEncoder, DetectorPart, decode, incident_id
from pipeline.errors import InputError
from pipeline.incident import Event, Explanation, State
from pipeline.records import Partition

SCHEMA_FILE = Path(pipeline.alert.__file__).with_name("alert.schema.json")
SCHEMA = json.loads(SCHEMA_FILE.read_text())
SENSORS = ("pressure", "temperature", "vibration")
DIGEST = "sha256:" + "0f" * 32

DESIGN_EXAMPLE: dict[str, Any] = {
    "schema": "alert/1",
    "incident_id": "4f0c" * 8,
    "state": "opened",
    "unit": "pump-7",
    "opened_at": "2026-11-22T07:00:12Z",
    "time": "2026-11-22T07:00:12Z",
    "closed_at": None,
    "score": 1.84,
    "peak_score": 1.84,
    "severity": "warning",
    "sensors": [
        {"name": "vibration_x", "contribution": 0.61, "observed": 0.82, "expected": 0.41}
    ],
    "detector": {"name": "pumps", "digest": DIGEST},
    "source": {
        "topic": "readings",
        "partition": 3,
        "first_offset": 1180,
        "last_offset": 1211,
    },
}


def event(
    state: State = "opened",
    unit: str = "pump-7",
    time_s: float = 1_700_000_060.0,
    score: float = 1.5,
    peak_score: float = 1.5,
    contributions: tuple[float, ...] = (0.2, 0.7, 0.1),
    observed: tuple[float, ...] = (1.0, 2.0, 3.0),
    latent: tuple[float, ...] = (),
) -> Event:
    return Event(
        state=state,
        unit=unit,
        opened_at_s=1_700_000_000.0,
        time_s=time_s,
        score=score,
        peak_score=peak_score,
        explanation=Explanation(
            np.array(contributions, np.float32),
            np.array(observed, np.float32),
            np.array([0.5, 0.6, 0.7], np.float32),
            np.array(latent, np.float32),
        ),
        partition=Partition("readings", 3),
        first_offset=1180,
        last_offset=1211,
    )


def encoded(event: Event, max_sensors: int = 5) -> dict[str, Any]:
    """The event as a consumer sees it; it must keep to the schema."""
    detector = DetectorPart("pumps", DIGEST)
    [message] = AlertEncoder("alerts", SENSORS, detector, max_sensors).encode([event])
    alert: dict[str, Any] = json.loads(message.value or b"")
    Draft202012Validator(closed(SCHEMA)).validate(alert)
    return alert


def closed(schema: Any) -> Any:
    """The schema, less the freedom to add fields: what is made now is all written down."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(part) for name, part in schema.items()}
    return {**inner, "additionalProperties": False} if "required" in schema else inner


def is_valid(alert: object) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(alert))


def test_fields_of_later_versions_are_allowed_and_ignored() -> None:
    later = {**DESIGN_EXAMPLE, "site": "north"}

    assert is_valid(later)
    assert decode(json.dumps(later).encode()) == decode(json.dumps(DESIGN_EXAMPLE).encode())


def test_the_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_design_documents_example_keeps_to_the_schema_and_decodes() -> None:
    assert is_valid(DESIGN_EXAMPLE)

    alert = decode(json.dumps(DESIGN_EXAMPLE).encode())

    assert (alert.state, alert.unit, alert.score) == ("opened", "pump-7", 1.84)
    assert alert.sensors[0].name == "vibration_x"
    assert alert.source.last_offset == 1211


@pytest.mark.parametrize(
    ("state", "score", "closed_at"),
    [
        ("opened", 1.5, None),
        ("updated", 2.5, None),
        ("closed", 0.3, "2023-11-14T22:14:20Z"),
    ],
)
def test_every_state_keeps_to_the_schema(
    state: State, score: float, closed_at: str | None
) -> None:
    alert = encoded(event(state=state, score=score, peak_score=2.5))

    assert alert["state"] == state
    assert alert["closed_at"] == closed_at
    assert alert["opened_at"] == "2023-11-14T22:13:20Z"
    assert alert["time"] == "2023-11-14T22:14:20Z"


@given(
    unit=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256),
    time_s=st.floats(0, 253_402_300_799.0),
    score=st.floats(1.0, 2.0**100, width=32),
    state=st.sampled_from(["opened", "updated"]),
)
def test_any_event_keeps_to_the_schema_and_decodes(
    unit: str, time_s: float, score: float, state: State
) -> None:
    alert = encoded(event(state, unit, time_s, score=score, peak_score=score))

    assert decode(json.dumps(alert).encode()).unit == unit


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "reopened"},
        {"schema": "alert/2"},
        {"incident_id": "4F0C"},
        {"unit": ""},
        {"time": "2026-11-22 07:00:12"},
        {"closed_at": "2026-11-22T07:00:12Z"},
        {"state": "closed"},
        {"score": -1.0},
        {"score": None},
        {"severity": "critical"},
        {"sensors": []},
        {"detector": {"name": "pumps", "digest": "md5:1"}},
        {"source": {"topic": "readings", "partition": 0}},
    ],
)
def test_the_schema_refuses_what_is_no_alert(wrong: dict[str, object]) -> None:
    assert not is_valid({**DESIGN_EXAMPLE, **wrong})


@pytest.mark.parametrize("missing", DESIGN_EXAMPLE)
def test_the_schema_refuses_an_alert_that_lacks_a_part(missing: str) -> None:
    assert not is_valid({k: v for k, v in DESIGN_EXAMPLE.items() if k != missing})


def test_a_value_that_was_missing_is_null() -> None:
    alert = encoded(event(observed=(1.0, math.nan, 3.0)))

    assert alert["sensors"][0] == {
        "name": "temperature",
        "contribution": 0.7,
        "observed": None,
        "expected": 0.6,
    }


def test_the_largest_contributions_come_first_and_the_rest_is_cut() -> None:
    alert = encoded(event(contributions=(0.2, 0.7, 0.1)), max_sensors=2)

    assert [part["name"] for part in alert["sensors"]] == ["temperature", "pressure"]


@pytest.mark.parametrize(("peak_score", "severity"), [(1.99, "warning"), (2.0, "critical")])
def test_an_incident_is_critical_from_a_peak_of_2_on(
    peak_score: float, severity: str
) -> None:
    assert encoded(event(peak_score=peak_score))["severity"] == severity


def test_an_alert_is_keyed_by_unit_and_goes_to_its_topic() -> None:
    encoder = AlertEncoder("alerts", SENSORS, DetectorPart("pumps", DIGEST), 5)

    first, second = encoder.encode([event(unit="pümp"), event(unit="b")])

    assert (first.topic, first.key, second.key) == ("alerts", "pümp".encode(), b"b")


def test_the_same_event_gives_the_same_bytes() -> None:
    encoder = AlertEncoder("alerts", SENSORS, DetectorPart("pumps", DIGEST), 5)

    assert encoder.encode([event()]) == encoder.encode([event()])


def test_all_records_of_an_incident_share_its_id() -> None:
    opened = encoded(event("opened"))
    closed = encoded(event("closed", time_s=1_700_009_000.0, score=0.1))

    assert opened["incident_id"] == closed["incident_id"]


def test_another_unit_time_or_detector_is_another_incident() -> None:
    ids = {
        incident_id(digest, unit, opened_at_s)
        for digest in ("sha256:a", "sha256:b")
        for unit in ("a", "b")
        for opened_at_s in (1.0, 1.000001)
    }

    assert len(ids) == 8


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"not json", b"\xff", b'{"schema": "alert/2"}']
)
def test_what_is_no_alert_is_not_decoded(value: bytes) -> None:
    with pytest.raises(InputError, match="alert/1"):
        decode(value)


def test_an_alert_holds_its_latent_vector_if_there_is_one() -> None:
    assert encoded(event(latent=(0.123456, -2.0)))["embedding"] == [0.1235, -2.0]
    assert "embedding" not in encoded(event())
