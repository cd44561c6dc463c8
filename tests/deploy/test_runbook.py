"""Whoever is woken finds a section, and what it says to run exists."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.configure import documented, read_settings
from pipeline.settings import Settings
from tests.deploy.files import (
    ALERTMANAGER,
    PROMETHEUS,
    ROOT,
    RULES_TEST,
    RUNBOOK,
    alerts,
    compose,
    dashboards,
    headings,
    read_yaml,
    services,
)
from tests.deploy.test_names import parse

TEXT = RUNBOOK.read_text()
SECTIONS = headings(TEXT)
COMMANDS = [
    line
    for block in re.findall(r"`+(?:sh\n)?([^`]+?)`+", TEXT)
    for line in block.splitlines()
    if line.strip()
]
every_alert = pytest.mark.parametrize("name", alerts())


@every_alert
def test_every_alert_has_a_section_that_says_what_to_do(name: str) -> None:
    section = SECTIONS[name.lower()]

    at = [section.index(part) for part in ("**Symptom.**", "**Look at.**", "**Do.**")]
    assert at == sorted(at)


@every_alert
def test_every_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name: str) -> None:
    alert = alerts()[name]
    annotations = alert["annotations"]

    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("info", "warning", "critical")
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert "$value" in annotations["description"]
    url, _, anchor = annotations["runbook_url"].partition("#")
    assert url == "http://127.0.0.1:3000/public/deploy/RUNBOOK.md"
    assert anchor == name.lower()


@every_alert
def test_every_alert_is_tried_silent_and_firing_and_silent_again(name: str) -> None:
    tried = [
        bool(one["exp_alerts"])
        for test in read_yaml(RULES_TEST)["tests"]
        for one in test["alert_rule_test"]
        if one["alertname"] == name
    ]

    fires = tried.index(True)
    assert False in tried[:fires]
    assert False in tried[fires:]


def test_no_section_is_of_an_alert_that_is_gone() -> None:
    of_alerts = {section for section in SECTIONS if section.startswith("pipeline")}

    assert of_alerts == {name.lower() for name in alerts()}


def test_every_link_within_it_leads_somewhere() -> None:
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= SECTIONS.keys()


def test_every_setting_exists() -> None:
    known = {name for name, _, _ in documented(Settings)}

    assert set(re.findall(r"PIPELINE_[A-Z0-9_]+", TEXT)) <= known


class InCompose(NamedTuple):
    """A `docker compose run` of our image."""

    service: str
    options: list[str]
    line: list[str]
    """The program and its arguments."""


def in_compose(command: str) -> InCompose | None:
    """Take a command apart; None if it is another one."""
    if not command.startswith("docker compose run "):
        return None
    words = shlex.split(command)[3:]
    options = []
    while words[0].startswith("-"):
        # `--rm` is the only one without a value.
        n_words = 1 if words[0] == "--rm" else 2
        options += words[:n_words]
        words = words[n_words:]
    service, *arguments = words
    program = "pipeline"
    if "--entrypoint" in options:
        program = options[options.index("--entrypoint") + 1]
    else:
        assert "entrypoint" not in services()[service]
    return InCompose(service, options, [program, *arguments])


def test_every_command_of_ours_parses() -> None:
    lines = []
    for command in COMMANDS:
        bare = re.sub(r"^(?:[A-Z_]+=\S* )*", "", command.partition("#")[0]).strip()
        if run := in_compose(command):
            lines.append(run.line)
        bare = re.sub(r"^kubectl exec POD -- ", "", bare)
        if re.match(r"(pipeline|trainer) [a-z]", bare):
            lines.append(shlex.split(bare))

    assert {tuple(line[:2]) for line in lines} >= {
        ("pipeline", "alerts"),
        ("pipeline", "compare"),
        ("pipeline", "promote"),
        ("pipeline", "redrive"),
        ("pipeline", "replay"),
        ("pipeline", "run"),
        ("pipeline", "score"),
        ("trainer", "fit"),
    }
    for line in lines:
        # Without arguments it is only spoken of.
        if len(line) > 2:
            parse(line)


def test_every_command_for_compose_names_a_service() -> None:
    verbs = {"ps", "logs", "exec", "up", "restart", "run"}
    for command in COMMANDS:
        if command.startswith("docker compose"):
            words = [word for word in shlex.split(command)[2:] if not word.startswith("-")]
            assert words[0] in verbs
            if words[0] != "ps":
                assert set(words) & set(services()), command


def test_a_backfill_sends_nothing_where_the_running_worker_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (recipe,) = re.findall(r"`((?:PIPELINE_\w+=\S* )+)pipeline run`", SECTIONS["backfill"])
    monkeypatch.setenv("PIPELINE_DETECTOR", "detectors/current")
    monkeypatch.setenv("PIPELINE_KAFKA__EXPECTED_TOPIC", "virtual")
    running = read_settings(Settings, {}).kafka
    for assignment in recipe.split():
        name, _, value = assignment.partition("=")
        monkeypatch.setenv(name, value)

    backfill = read_settings(Settings, {}).kafka

    assert backfill.readings_topic == running.readings_topic
    assert backfill.group_id != running.group_id
    assert not (
        {backfill.alerts_topic, backfill.dead_letters_topic, backfill.expected_topic}
        & {running.alerts_topic, running.dead_letters_topic, running.expected_topic}
    )


def test_the_lag_that_a_worker_that_hangs_leaves_behind_is_not_trusted() -> None:
    for section in ("pipelinenoreadings", "pipelinelaggrowing", "pipelinepartitionsunread"):
        assert "`kafka-consumer-groups --describe`" in SECTIONS[section]


def test_every_event_of_the_log_that_it_names_is_logged() -> None:
    source = "".join(path.read_text() for path in (ROOT / "pipeline").rglob("*.py"))
    named = {
        name
        for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", TEXT)
        if re.search(rf"events? `{name}`|`{name}` in the log|`{name}` .*in the log", TEXT)
    }

    assert named
    for name in named:
        assert f'"{name}"' in source or f'"{name.split("_")[0]}_' in source, name


def test_every_panel_that_it_names_is_on_a_dashboard() -> None:
    titles = {panel["title"] for one in dashboards().values() for panel in one["panels"]}
    named = {
        title
        for looked_at in re.findall(r"\*\*Look at\.\*\*(.*?)\n\n", TEXT, re.S)
        for title in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", looked_at)
    }

    assert named
    assert named <= titles


def test_every_reason_of_a_reject_has_a_cause() -> None:
    from pipeline.decode import REASONS
    from pipeline.units import TOO_MANY_UNITS

    for reason in (*REASONS, TOO_MANY_UNITS):
        assert f"`{reason}`" in SECTIONS["pipelinerejects"]


def test_nobody_is_called_by_default() -> None:
    for receiver in read_yaml(ALERTMANAGER)["receivers"]:
        assert receiver.keys() == {"name"}


def test_alerts_that_silence_others_exist() -> None:
    text = ALERTMANAGER.read_text()

    assert set(re.findall(r"\bPipeline\w+", text)) <= alerts().keys()


def test_prometheus_tells_the_alertmanager_of_compose() -> None:
    (manager,) = read_yaml(PROMETHEUS)["alerting"]["alertmanagers"]
    (target,) = manager["static_configs"][0]["targets"]
    (port,) = services()["alertmanager"]["ports"]

    assert target == f"alertmanager:{port.split(':')[-1]}"


def test_prometheus_reads_the_rules() -> None:
    folder = PROMETHEUS.parent
    assert [folder / name for name in read_yaml(PROMETHEUS)["rule_files"]] == [
        folder / "rules.yml"
    ]
    assert isinstance(yaml.safe_load((folder / "rules.yml").read_text()), dict)
    assert Path(
        compose()["services"]["prometheus"]["volumes"][0].partition(":")[0]
    ) == Path("deploy/prometheus")
