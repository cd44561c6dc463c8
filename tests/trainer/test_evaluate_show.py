"""What `trainer evaluate` prints."""

import json
import re
from pathlib import Path

import pytest

from pipeline.detector.artifact import load
from tests.processes import command
from tests.trainer.reporting import (
    N_READINGS,
    Evaluated,
    OnDisk,
    series_with_fault,
    write_table,
)
from trainer.evaluate import BASELINES, METHODS
from trainer.evaluate_show import as_json, json_text, show_evaluation

FIGURES = {
    *("vus_pr", "average_precision", "f1", "far", "mar"),
    *("event_precision", "event_recall", "event_f1"),
    *("delay_median_s", "delay_p90_s", "false_alarms_per_day"),
}


def test_json_has_null_where_a_figure_is_not_defined(evaluated: Evaluated) -> None:
    found = json.loads(json_text(evaluated(labelled=[])))

    assert set(found["detector"]) == FIGURES
    assert list(found["baselines"]) == list(BASELINES)
    assert all(set(figures) == FIGURES for figures in found["baselines"].values())
    assert found["detector"]["vus_pr"] is None
    assert found["detector"]["event_recall"] is None
    assert found["units"][0]["average_precision"] is None
    assert found["baselines"]["always_alert"]["far"] == 100.0


def test_json_has_the_units_and_the_promise(evaluated: Evaluated, detector: OnDisk) -> None:
    found = as_json(evaluated())

    [unit] = found["units"]
    assert (unit["unit"], unit["n_rows"], unit["n_events"]) == ("pump-7", N_READINGS, 1)
    assert unit["vus_pr"] == found["detector"]["vus_pr"]
    threshold = load(detector.folder).manifest.threshold
    promised = threshold.expected_false_alarms_per_unit_day
    assert found["promised_false_alarms_per_day"] == promised


def test_the_printed_table_has_a_line_for_each_method(
    evaluated: Evaluated, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = evaluated()
    capsys.readouterr()

    show_evaluation(evaluation)

    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == [
        *("VUS-PR", "AP", "F1", "FAR", "%", "MAR", "%", "event", "P", "event", "R"),
        *("event", "F1", "delay", "delay", "p90", "false/day"),
    ]
    names = [name.replace("_", " ") for name in METHODS]
    assert all(line.startswith(name) for line, name in zip(lines, names, strict=False))
    counts, unscored, promise = lines[-3:]
    assert counts == "600 rows of 1 unit, 1 labelled event"
    assert unscored.startswith("7 rows without a score")
    assert re.fullmatch(
        r"false alarms .* day: [\d.]+ \(at most [\d.]+\) promised, [\d.]+ observed", promise
    )


def test_in_a_narrow_terminal_no_figure_is_cut_off(
    evaluated: Evaluated,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluation = evaluated()
    for name, value in {"FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()

    show_evaluation(evaluation)

    tables = capsys.readouterr().out.split("600 rows")[0]
    assert max(len(line) for line in tables.splitlines()) <= 80
    assert "…" not in tables
    assert sum("always alert" in line for line in tables.splitlines()) == 2


def test_the_command_prints_one_json_object(detector: OnDisk, tmp_path: Path) -> None:
    path = write_table(
        tmp_path / "stream.parquet", detector.sensors, {"a": series_with_fault()}
    )

    done = command("trainer", "evaluate", str(detector.folder), str(path), "--json")

    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    assert set(json.loads(line)["detector"]) == FIGURES
    assert done.stderr == ""
