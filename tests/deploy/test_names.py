"""Names that the deployment files use exist in the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

import pipeline.__main__
import trainer.__main__
from pipeline.configure import documented, read_settings
from pipeline.settings import ConnectionSettings, Settings
from tests.deploy.files import (
    COMPOSE,
    DOCKERFILE,
    ROOT,
    last_instruction,
    services,
)
from trainer.settings import TrainerSettings

PROGRAMS = {
    "pipeline": typer.main.get_command(pipeline.__main__.app),
    "trainer": typer.main.get_command(trainer.__main__.app),
}


def files_with_settings() -> Iterator[Path]:
    yield COMPOSE
    for path in (ROOT / "deploy").rglob("*"):
        if path.is_file() and path.suffix != ".png":
            yield path


@pytest.mark.parametrize(
    "path", list(files_with_settings()), ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_setting_exists(path: Path) -> None:
    known = {
        variable
        for settings in (Settings, TrainerSettings)
        for variable, _, _ in documented(settings)
    }

    named = set(re.findall(r"\b(?:PIPELINE|TRAINER)_[A-Z0-9_]+", path.read_text()))

    assert named <= known


def test_the_worker_accepts_the_settings_that_compose_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in services()["worker"]["environment"].items():
        monkeypatch.setenv(variable, value)

    settings = read_settings(Settings, {})

    assert settings.kafka.bootstrap_servers == "kafka:19092"
    assert settings.detector == Path("/detectors/current")
    assert settings.shadow is None


def test_the_replayer_accepts_the_settings_that_compose_gives_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in services()["replayer"]["environment"].items():
        monkeypatch.setenv(variable, value)

    settings = read_settings(ConnectionSettings, {})

    assert settings.kafka.bootstrap_servers == "kafka:19092"


def test_compose_creates_the_topics_that_the_worker_uses() -> None:
    topics = services()["topics"]
    (script,) = topics["command"]
    created = dict(re.findall(r"^create (\S+) (\S+)$", script, re.M))
    kafka = Settings.model_fields["kafka"].default

    assert created.keys() == {
        kafka.readings_topic,
        kafka.alerts_topic,
        kafka.dead_letters_topic,
    }
    assert created[kafka.readings_topic] == '"$$READINGS_PARTITIONS"'
    assert int(topics["environment"]["READINGS_PARTITIONS"]) > 1
    assert services()["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def command_lines() -> Iterator[list[str]]:
    """Every call of `pipeline` or `trainer` in the files, also those in comments."""
    for path in (DOCKERFILE, COMPOSE):
        text = re.sub(r"\\\n(#\s+)?", "", path.read_text())
        for call in re.findall(r"^ +(?:exec )?((?:trainer|pipeline) .+)", text, re.M):
            yield shlex.split(call)
        for program, arguments in re.findall(
            r"(?:--entrypoint (trainer) )?sensor-anomaly-pipeline:local (\w+ .+)", text
        ):
            yield [program or "pipeline", *shlex.split(arguments)]


def parse(line: list[str]) -> None:
    """Raises for a command, an argument or an option that does not exist."""
    program, name, *arguments = line
    group = PROGRAMS[program]
    assert isinstance(group, TyperGroup)
    group.commands[name].make_context(name, list(arguments))


def test_every_command_line_parses() -> None:
    lines = list(command_lines())
    image = last_instruction("ENTRYPOINT").exec_form()
    lines.append([*image, *last_instruction("CMD").exec_form()])
    # What replaces that command.
    lines += [
        ["pipeline", *service["command"]]
        for service in services().values()
        if "build" in service and "entrypoint" not in service and "command" in service
    ]

    assert {(line[0], line[1]) for line in lines} == {
        ("pipeline", "promote"),
        ("pipeline", "replay"),
        ("pipeline", "run"),
        ("pipeline", "score"),
        ("trainer", "fit"),
    }
    for line in lines:
        parse(line)
