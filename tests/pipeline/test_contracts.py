"""Released contracts are kept: `tests/contracts` holds their schemas as they were released.

Alerts are read by others: whatever is made now fits every released schema of its major
version, but for fields that these do not know and that may be absent; and the present one
stays open to what later versions add. Readings and verdicts
are written by others: whatever fits a released schema fits the present one.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import pipeline
from pipeline.alert import AlertEncoder, DetectorPart
from tests import contracts
from tests.contracts.compatible import breaches
from tests.pipeline.test_alert import DIGEST, SENSORS, event

PRESENT = Path(pipeline.__path__[0])
RELEASED = sorted(
    path
    for name in ("alert", "feedback", "reading")
    for path in Path(contracts.__path__[0]).glob(f"{name}-*.json")
)
Json = dict[str, Any]


def present(name: str) -> Json:
    schema: Json = json.loads((PRESENT / f"{name}.schema.json").read_text())
    return schema


def kept(name: str, released: Json, now: Json) -> list[str]:
    """What breaks the promise of this contract."""
    if name == "alert":
        return breaches(now, released, fields_may_be_added=True)
    return breaches(released, now, fields_may_be_added=False)


def test_each_contract_has_a_released_version() -> None:
    names = {path.name.partition("-")[0] for path in RELEASED}

    assert names == {path.name.partition(".")[0] for path in PRESENT.glob("*.schema.json")}


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_the_present_schema_keeps_what_was_released(path: Path) -> None:
    name, released = path.stem.partition("-")[0], json.loads(path.read_text())

    assert kept(name, released, present(name)) == []


@given(
    state=st.sampled_from(["opened", "updated", "closed"]),
    peak_score=st.floats(1.0, 1e6, width=32),
    contributions=st.tuples(*[st.floats(0, 1, width=32)] * 3),
    observed=st.tuples(*[st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))] * 3),
    latent=st.lists(st.floats(-9, 9, width=32), max_size=3).map(tuple),
    unit=st.text(st.characters(codec="utf-8"), min_size=1, max_size=256),
)
def test_alerts_fit_every_released_schema(peak_score: float, **parts: Any) -> None:
    score = 0.5 if parts["state"] == "closed" else peak_score
    made = event(score=score, peak_score=peak_score, **parts)
    encoder = AlertEncoder("alerts", SENSORS, DetectorPart("pumps", DIGEST), 3)
    [message] = encoder.encode([made])

    for path in RELEASED:
        if path.name.startswith("alert-1."):
            validator = Draft202012Validator(json.loads(path.read_text()))
            validator.validate(json.loads(message.value or b""))


def at(schema: Json, *path: str) -> Json:
    for part in path:
        schema = schema[part]
    return schema


Change = Callable[[Json], object]
ALERT_BREACHES: dict[str, Change] = {
    "a field is no longer sent": lambda s: s["required"].remove("severity"),
    "or of a part": lambda s: at(s, "properties", "source")["required"].remove("topic"),
    "a field that is not always sent is": lambda s: s["required"].append("embedding"),
    "or one that is added": lambda s: s["required"].append("site"),
    "or of a part that is added": lambda s: at(s, "properties", "sensors", "items")[
        "required"
    ].append("unit"),
    "a type is another": lambda s: at(s, "properties", "score").update(type="string"),
    "or one more": lambda s: at(s, "properties", "score").update(type=["number", "null"]),
    "a choice is added": lambda s: at(s, "properties", "state")["enum"].append("paused"),
    "a choice is free": lambda s: at(s, "properties", "severity").pop("enum"),
    "a bound is gone": lambda s: at(s, "properties", "peak_score").pop("minimum"),
    "a bound is lower": lambda s: at(s, "properties", "score").update(minimum=-1),
    "a pattern is gone": lambda s: at(s, "properties", "incident_id").pop("pattern"),
    "a pattern is another": lambda s: at(s, "$defs", "time").update(pattern="^[0-9]+$"),
    "a length is more": lambda s: at(s, "properties", "unit").update(maxLength=512),
    "a choice is below a bound": lambda s: s["properties"].update(score={"enum": [-1, 1]}),
    "a choice is above one": lambda s: at(
        s, "properties", "sensors", "items", "properties"
    ).update(contribution={"const": 2}),
    "a choice is too long": lambda s: s["properties"].update(unit={"const": "u" * 257}),
    "a choice is too short": lambda s: s["properties"].update(unit={"enum": ["u", ""]}),
    "a choice is of another pattern": lambda s: at(
        s, "properties", "detector", "properties"
    ).update(digest={"const": "sha1:0"}),
    "a list may be empty": lambda s: at(s, "properties", "sensors").pop("minItems"),
    "a name is another": lambda s: s["properties"].update(
        embedding={"type": "string"}, latent=s["properties"]["embedding"]
    ),
    "the version is another": lambda s: at(s, "properties", "schema").update(
        const="alert/2"
    ),
    "an alternative is added": lambda s: at(s, "properties", "closed_at")["anyOf"].append(
        {"type": "number"}
    ),
    "a condition is another": lambda s: s["allOf"].pop(),
}


def part(schema: Json, name: str) -> Json:
    """One of the alert's objects."""
    places = {
        "alert": (),
        "sensors": ("properties", "sensors", "items"),
        "detector": ("properties", "detector"),
        "source": ("properties", "source"),
    }
    return at(schema, *places[name])


def without_embedding(schema: Json) -> None:
    schema["properties"].pop("embedding")
    schema.update(additionalProperties=False)


PARTS = ("alert", "sensors", "detector", "source")
CLOSED_TO: dict[str, Json] = {
    "fields of other names": {"additionalProperties": False},
    "or of others than any part names": {"unevaluatedProperties": False},
    "names of another form": {"propertyNames": {"maxLength": 20}},
    "fields of one form": {"patternProperties": {"^site": False}},
    "fields without others": {"dependentRequired": {"name": ["site"]}},
    "or without them of a form": {"dependentSchemas": {"name": {"minProperties": 9}}},
    "many fields": {"maxProperties": 30},
    "few fields": {"minProperties": 1},
    "whatever is said further": {"not": {"required": ["site"]}},
}


def closing(name: str, keywords: Json) -> Change:
    return lambda schema: part(schema, name).update(copy.deepcopy(keywords))


ALERT_BREACHES |= {
    f"{name}: refuses {what}": closing(name, keywords)
    for name in PARTS
    for what, keywords in CLOSED_TO.items()
}
ALERT_BREACHES |= {
    "a list is always empty": lambda s: at(s, "properties", "sensors").update(maxItems=0),
    "a list is longer": lambda s: at(s, "properties", "sensors").update(minItems=2),
    "a list is of unlike things": lambda s: at(s, "properties", "sensors").update(
        uniqueItems=True
    ),
    "a list holds nothing": lambda s: at(s, "properties", "embedding").update(items=False),
    "a list that may be absent is bounded": lambda s: at(
        s, "properties", "embedding"
    ).update(maxItems=4),
    "an alternative is closed": lambda s: at(s, "properties", "closed_at")["anyOf"][
        0
    ].update({"not": {"const": "never"}}),
    "a name is gone": lambda s: s["properties"].pop("embedding"),
    "a name is gone and others are refused": without_embedding,
    "a name is refused": lambda s: s["properties"].update(embedding=False),
    "a name of a part is gone": lambda s: part(s, "sensors")["properties"].pop("observed"),
    "a field that is added is closed": lambda s: s["properties"].update(
        site={"type": "object", "additionalProperties": False}
    ),
}
ALERT_CHANGES: dict[str, Change] = {
    "a field is added": lambda s: s["properties"].update(site={"type": "string"}),
    "of parts": lambda s: s["properties"].update(
        site={"type": "object", "properties": {"line": {"type": "array", "items": {}}}}
    ),
    "to a part": lambda s: at(s, "properties", "source", "properties").update(lag={}),
    "a choice is no longer made": lambda s: at(s, "properties", "state")["enum"].pop(),
    "all choices are within the bounds": lambda s: s["properties"].update(
        unit={"enum": ["pump-1", "u" * 256]}, score={"enum": [0, 1.5]}
    ),
    "a bound is closer": lambda s: at(s, "properties", "score").update(maximum=100),
    "a text is better": lambda s: s.update(title="An alert", description="..."),
    "nothing is null any more": lambda s: at(s, "properties", "closed_at")["anyOf"].pop(),
}
READING_BREACHES: dict[str, Change] = {
    "a field is asked for": lambda s: at(s, "$defs", "reading")["required"].append("site"),
    "a field has a type": lambda s: at(s, "$defs", "reading", "properties").update(
        site={"type": "string"}
    ),
    "others are refused": lambda s: at(s, "$defs", "reading").update(
        additionalProperties=False
    ),
    "a length is less": lambda s: at(s, "$defs", "reading", "properties", "unit").update(
        maxLength=64
    ),
    "a way to say it is gone": lambda s: at(s, "$defs", "reading", "properties", "time")[
        "anyOf"
    ].pop(),
    "values must be there": lambda s: at(
        s, "$defs", "reading", "properties", "values", "additionalProperties"
    ).update(type="number"),
    "arrays are refused": lambda s: s["anyOf"].pop(),
    "arrays are bounded": lambda s: s["anyOf"][1].update(maxItems=10),
}
READING_CHANGES: dict[str, Change] = {
    "a field is no longer asked for": lambda s: at(s, "$defs", "reading")[
        "required"
    ].remove("values"),
    "a length is more": lambda s: at(s, "$defs", "reading", "properties", "unit").update(
        maxLength=512
    ),
    "a field is described": lambda s: at(s, "$defs", "reading", "properties").update(
        site={"description": "Where it stands."}
    ),
    "a further way to say it": lambda s: at(s, "$defs", "reading", "properties", "time")[
        "anyOf"
    ].append({"type": "null"}),
}
FEEDBACK_BREACHES: dict[str, Change] = {
    "a verdict is gone": lambda s: at(s, "properties", "verdict")["enum"].pop(),
    "a field is asked for": lambda s: s["required"].append("note"),
    "a note may not be null": lambda s: at(s, "properties", "note").update(type="string"),
}


def changed(name: str, change: Change) -> list[str]:
    released = present(name)
    now = copy.deepcopy(released)
    change(now)
    assert now != released
    return kept(name, released, now)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("alert", change) for change in ALERT_BREACHES),
        *(("reading", change) for change in READING_BREACHES),
        *(("feedback", change) for change in FEEDBACK_BREACHES),
    ],
)
def test_a_breach_is_found(name: str, change: str) -> None:
    every = {"alert": ALERT_BREACHES, "reading": READING_BREACHES}
    assert changed(name, every.get(name, FEEDBACK_BREACHES)[change]) != []


@pytest.mark.parametrize("change", ALERT_CHANGES)
def test_alerts_may_say_more_and_choose_from_less(change: str) -> None:
    assert changed("alert", ALERT_CHANGES[change]) == []


@pytest.mark.parametrize("change", READING_CHANGES)
def test_readings_may_be_of_more_forms(change: str) -> None:
    assert changed("reading", READING_CHANGES[change]) == []
