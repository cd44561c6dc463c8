"""What `python -m tests.bench` says of what it could not measure. Nothing is timed here."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from tests.bench import __main__ as command
from tests.bench.protocol import Line, Unavailable
from tests.bench.site import Site


def measured(site: Site) -> list[Line]:
    return [Line("quick", "1/s", ours=[9.0], theirs=[10.0], against="slow")]


def missing(site: Site) -> list[Line]:
    raise Unavailable("rival is not installed")


def failing(site: Site) -> list[Line]:
    raise RuntimeError("the worker read 7")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Bench":
    runs = {"quick": measured, "rival": missing, "broken": failing}
    monkeypatch.setattr(command, "BENCHMARKS", dict.fromkeys(runs, ""))
    monkeypatch.setattr(command, "DEFAULT", ("quick", "rival"))
    monkeypatch.setattr(command, "function", lambda name: runs[name])
    return Bench(tmp_path / "out.json")


class Bench:
    """Runs the command on these benchmarks."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._app = Typer()
        self._app.command()(command.main)

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(self._app, ["--out", str(self._out), *arguments])

    def document(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._out.read_text())
        return found


def test_what_is_not_installed_has_a_line_of_its_own(run: Bench) -> None:
    done = run()

    assert done.exit_code == 0
    [line] = [each for each in done.stdout.splitlines() if "rival" in each]
    assert line.split() == ["rival", "not", "available"]
    assert run.document()["not_available"] == {"rival": "rival is not installed"}


def test_what_was_asked_for_by_name_must_be_there(run: Bench) -> None:
    assert run("--only", "quick").exit_code == 0
    assert run("--only", "quick,rival").exit_code == 1


def test_what_failed_has_a_line_too(run: Bench) -> None:
    done = run("--only", "broken,quick")

    assert done.exit_code == 1
    [line] = [each for each in done.stdout.splitlines() if "broken" in each]
    assert line.split() == ["broken", "failed"]
    assert "quick" in done.stdout


def test_a_line_says_that_it_is_a_single_run(run: Bench) -> None:
    [line] = [each for each in run().stdout.splitlines() if "slow" in each]

    assert line.rstrip().endswith("1 (single run)")
    assert "to 9" not in line


def test_the_longest_benchmark_runs_only_by_name() -> None:
    assert set(command.BENCHMARKS) - set(command.DEFAULT) == {"history50"}
