"""What the runbook says to run with compose fits its file, and its settings can be set."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.files import COMPOSE, services
from tests.deploy.helm import template
from tests.deploy.test_runbook import COMMANDS, SECTIONS, TEXT, InCompose, in_compose

RUNS = [run for run in map(in_compose, COMMANDS) if run]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: " ".join(run.line))
def test_every_path_in_a_container_is_mounted_there_to_be_written_if_it_is(
    run: InCompose,
) -> None:
    given = [run.options[i + 1] for i, word in enumerate(run.options) if word == "-v"]
    mounts = [*services()[run.service].get("volumes", []), *given]
    is_writable = {
        target.removesuffix(":ro"): not target.endswith(":ro")
        for target in (mount.partition(":")[2] for mount in mounts)
    }

    for i, word in enumerate(run.line):
        if "/" not in word:
            continue
        at = Path(word)
        mounted = [one for one in (at, *at.parents) if str(one) in is_writable]
        assert mounted, word
        is_written = run.line[i - 1] in ("--out", "--page") or (
            run.line[1] == "promote" and len(run.line) > 3
        )
        assert is_writable[str(mounted[0])] or not is_written, word


def test_in_compose_a_detector_is_trained_compared_and_promoted_where_it_lies() -> None:
    done = {
        run.line[1]: [word for word in run.line if word.startswith("/detectors/")]
        for run in RUNS
    }

    (new,) = done["fit"]
    assert done["compare"] == ["/detectors/current", new]
    assert [
        "pipeline",
        "promote",
        *new.rsplit("/", 1),
    ] in [run.line for run in RUNS]


def changes() -> Iterator[tuple[str, str]]:
    """Each paragraph that says to change settings, with the name of one of them."""
    for block in re.split(r"\n\n|\n(?=\d\. |- )", TEXT):
        # What sets them for one command alone is no change.
        prose = re.sub(r"`(?:PIPELINE_\w+=\S* )+\w[^`]*`", "", block)
        told = r"\b(?:raise|lower|set)\b[^.]*`PIPELINE_|`PIPELINE_\w+="
        if re.search(told, prose):
            for name in re.findall(r"`(PIPELINE_\w+)", prose):
                yield name, block


def test_whoever_is_told_to_change_a_setting_is_led_to_how() -> None:
    told = dict(changes())

    names = {"PIPELINE_INCIDENT__TRIGGER", "PIPELINE_SHADOW", "PIPELINE_PROCESSES"}
    assert names <= set(told)
    for name, block in changes():
        if block not in SECTIONS["change-a-setting"]:
            assert "(#change-a-setting)" in block, name


def test_every_setting_that_is_to_be_changed_can_be_so_on_compose_and_kubernetes() -> None:
    how = SECTIONS["change-a-setting"]
    otherwise = dict(re.findall(r"^\| `(PIPELINE_\w+)` \| (.*) \|$", how, re.M))
    fixed = services()["worker"]["environment"]

    assert services()["worker"]["env_file"][0]["path"] in how
    assert "`docker compose up -d --no-build worker`" in how
    for name in {name for name, _ in changes()}:
        of_compose, of_chart = otherwise.get(name, "as any other|as any other").split("|")
        assert ("as any other" in of_compose) == (name not in fixed), name
        done = template({"settings": {name: "1"}})
        assert ("as any other" in of_chart) == (done.returncode == 0), name


def test_every_variable_of_compose_that_it_sets_exists() -> None:
    named = set(re.findall(r"`([A-Z_]+)=", SECTIONS["change-a-setting"]))

    ours = {name for name in named if not name.startswith("PIPELINE_")} - {"NAME"}
    assert ours == {"SHADOW", "WORKER_MEMORY", "WORKERS", "WORKER_PORT"}
    assert ours <= set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
