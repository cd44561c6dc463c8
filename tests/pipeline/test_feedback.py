"""Verdicts of operators: what a record may say."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline.feedback
from pipeline.errors import InputError
from pipeline.feedback import VERDICTS, decode

SCHEMA_FILE = Path(pipeline.feedback.__file__).with_name("feedback.schema.json")
SAID = {
    "incident_id": "4f0c",
    "verdict": "false",
    "who": "ada",
    "when": "2026-11-22T07:00:12Z",
}
REFUSED = [
    {"incident_id": ""},
    {"incident_id": "x" * 65},
    {"verdict": "perhaps"},
    {"verdict": 1},
    {"who": ""},
    {"who": "x" * 257},
    {"when": "x" * 65},
    {"schema": "feedback/2"},
]


def record(**changed: object) -> bytes:
    return json.dumps({**SAID, **changed}).encode()


@pytest.mark.parametrize("verdict", [*VERDICTS, True, False])
def test_every_verdict_is_read_and_is_in_the_schema(verdict: object) -> None:
    said, when_s = decode(record(verdict=verdict))

    jsonschema.validate(
        json.loads(record(verdict=verdict)), json.loads(SCHEMA_FILE.read_text())
    )
    assert said.word == str(verdict).lower()
    assert when_s == 1_795_330_812.0


@pytest.mark.parametrize("changed", REFUSED)
def test_what_the_schema_refuses_is_no_verdict(changed: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SAID, **changed}, json.loads(SCHEMA_FILE.read_text()))

    with pytest.raises(InputError, match="feedback/1"):
        decode(record(**changed))


def test_a_time_that_is_none_is_no_verdict() -> None:
    with pytest.raises(InputError, match="feedback/1"):
        decode(record(when="yesterday"))


@given(st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_whatever_the_bytes_are_they_are_a_verdict_or_refused_in_one_short_line(
    value: bytes,
) -> None:
    said = ""
    try:
        decode(value)
    except InputError as error:
        said = str(error)

    assert len(said) < 300
