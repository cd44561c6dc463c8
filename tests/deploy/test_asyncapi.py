"""`deploy/asyncapi.yaml` is an AsyncAPI document, and says what the code does."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft7Validator, Draft202012Validator

from pipeline.dead_letter import OMITTED, dead_letter, stub
from pipeline.decode import REASONS
from pipeline.records import Reject
from pipeline.settings_kafka import KafkaSettings
from pipeline.units import TOO_MANY_UNITS
from tests import contracts
from tests.builders import record
from tests.deploy.files import ROOT

FILE = ROOT / "deploy" / "asyncapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
MESSAGES = DOCUMENT["components"]["messages"]
SPECIFICATION = Draft7Validator(
    json.loads((Path(contracts.__path__[0]) / "asyncapi-3.0.0.json").read_text())
)


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def schema_of(message: str) -> Any:
    path = FILE.parent / MESSAGES[message]["payload"]["schema"]["$ref"]
    return json.loads(path.read_text())


def test_it_keeps_to_the_specification() -> None:
    errors = [error.message for error in SPECIFICATION.iter_errors(DOCUMENT)]

    assert errors == []


@pytest.mark.parametrize(
    "path",
    [
        ("info", "version"),
        ("channels", "alerts", "address"),
        ("operations", "publishAlerts", "action"),
        ("components", "messages", "alert", "bindings", "kafka"),
    ],
)
def test_the_specification_refuses_a_document_that_is_none(path: tuple[str, ...]) -> None:
    wrong = copy.deepcopy(DOCUMENT)
    part = wrong
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = 7

    assert not SPECIFICATION.is_valid(wrong)


def test_whatever_it_refers_to_exists() -> None:
    found = list(references(DOCUMENT))

    assert len(found) > 10
    for reference in found:
        if reference.startswith("#/"):
            part = DOCUMENT
            for name in reference.removeprefix("#/").split("/"):
                part = part[name]
        else:
            assert (FILE.parent / reference).is_file()


def test_its_examples_keep_to_the_schemas() -> None:
    for name, message in MESSAGES.items():
        for example in message.get("examples", ()):
            Draft202012Validator(schema_of(name)).validate(example["payload"])
    assert {name for name, message in MESSAGES.items() if "examples" in message} == {
        *("reading", "alert", "verdict")
    }


def test_topics_are_called_as_the_settings_call_them() -> None:
    usual = KafkaSettings()

    addresses = {name: each["address"] for name, each in DOCUMENT["channels"].items()}
    assert addresses == {
        "readings": usual.readings_topic,
        "alerts": usual.alerts_topic,
        "deadLetters": usual.dead_letters_topic,
        "expected": "expected",
        "feedback": "feedback",
    }


def test_the_headers_of_dead_letters_are_those_that_are_sent() -> None:
    headers = MESSAGES["deadLetter"]["headers"]
    sent = dead_letter(Reject(record(b"junk"), "not_json", "-"), "readings.dead")

    assert headers["required"] == [name for name, _ in sent.headers]
    assert set(headers["properties"]) == {name for name, _ in stub(sent).headers}
    assert OMITTED in headers["properties"]
    words = headers["properties"]["dead-letter-reason"]["enum"]
    assert words == [*REASONS, TOO_MANY_UNITS]
