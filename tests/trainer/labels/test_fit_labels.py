"""`trainer fit --labels`, as a user meets it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector import artifact
from pipeline.detector.residual import ResidualScoring
from tests import builders
from tests.trainer.labels.saying import DIGEST, verdict_line
from tests.trainer.reporting import alert_line, write_table
from tests.trainer.training import Command, each_model, quick
from trainer.labels.events import find_labels

QUICK = ("--window", "8", "--set", "steps=20", "--set", "batch_windows=32")
SENSORS = ("a", "b", "c")
FAULTS = (100, 250, 400)
LENGTH = 20


def readings() -> np.ndarray:
    values_NF = builders.sensor_series(600)
    for fault in FAULTS:
        values_NF[fault : fault + LENGTH, 0] += 4.0
    return values_NF


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three faults of one kind, labelled."""
    rows = [row for fault in FAULTS for row in range(fault, fault + LENGTH)]
    units = {"pump-7": readings(), "pump-8": builders.sensor_series(300, seed=1)}
    return write_table(tmp_path / "history.parquet", SENSORS, units, rows)


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    units = {"pump-7": readings()}
    return write_table(tmp_path / "unlabelled.parquet", SENSORS, units, labelled=None)


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.jsonl"
    lines = [alert_line(DIGEST, fault, fault + LENGTH + 15) for fault in FAULTS]
    path.write_text("\n".join(lines))
    return path


def said(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "feedback.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def signature_weights(folder: Path) -> list[float]:
    scoring = artifact.load(folder).detector.scoring
    assert isinstance(scoring, ResidualScoring)
    return [signature.weight for signature in scoring.signatures]


def test_labels_of_the_history_are_learned_from_and_previewed(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"

    done = run_trainer("fit", str(history), "--out", str(out), "--labels", "column", *QUICK)

    assert done.returncode == 0, done.stderr
    assert "labels        against a detector that knows no labels: silences" in done.stdout
    assert all(weight > 0 for weight in signature_weights(out))
    assert signature_weights(out)


def test_a_detector_that_is_there_is_what_labels_are_held_against(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"
    asked = ("fit", str(history), "--out", str(out), "--model", "ae", *QUICK)
    assert run_trainer(*asked).returncode == 0
    before = artifact.load(out).digest

    shown = run_trainer(*asked, "--labels", "column", "--preview")

    assert shown.returncode == 0, shown.stderr
    assert f"against the detector in {out}: silences" in shown.stdout
    assert f"{out} was not written (--preview)" in shown.stdout
    assert artifact.load(out).digest == before


def test_a_preview_writes_nothing_at_all(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"
    asked = ("--model", "ae", "--labels", "column", "--preview")

    done = run_trainer("fit", str(history), "--out", str(out), *asked, *QUICK)

    assert done.returncode == 0, done.stderr
    assert not out.exists()


def test_verdicts_are_learned_from(
    unlabelled: Path, alerts: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"
    feedback = said(
        tmp_path,
        *(verdict_line(fault, "true") for fault in FAULTS[:2]),
        verdict_line(FAULTS[2], "true"),
        verdict_line(FAULTS[2], "expected", hour=8),
        verdict_line(1, "true"),
        "nonsense",
    )
    asked = ("--labels", feedback, "--alerts", str(alerts), "--model", "ae", *QUICK)

    done = run_trainer("fit", str(unlabelled), "--out", str(out), *asked)

    assert done.returncode == 0, done.stderr
    for fact in (
        "verdicts on 3 incidents: 2 true, 0 false, 0 maintenance, 1 expected",
        "1 verdicts left out: no alert has their incident",
        "1 lines left out, no feedback records",
        "72 rows left out: labelled as anomalous",
    ):
        assert fact in done.stdout
    weights = signature_weights(out)
    assert any(weight < 0 for weight in weights)


@pytest.mark.parametrize(
    ("options", "said_of_it"),
    [
        (["--labels", "column"], "no row of the history has the label 1"),
        (["--labels", "none.jsonl"], "give their alerts with --alerts"),
        (["--labels", "column", "--alerts", "a.jsonl"], "goes with verdicts"),
        (["--labels", "none.jsonl", "--alerts", "gone.jsonl"], "cannot be read"),
        (["--labels", "kafka://x", "--alerts", "ALERTS"], "kafka://HOST:PORT/TOPIC"),
        (["--labels", "EMPTY", "--alerts", "ALERTS"], "no verdict on an incident"),
        (["--labels", "EMPTY", "--alerts", "EMPTY"], "no alert in it"),
        (["--preview"], "go with --labels"),
        (["--alerts", "a.jsonl"], "go with --labels"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line_and_exit_code_2(
    unlabelled: Path,
    alerts: Path,
    tmp_path: Path,
    run_trainer: Command,
    options: list[str],
    said_of_it: str,
) -> None:
    out = tmp_path / "pumps"
    files = {"ALERTS": str(alerts), "EMPTY": said(tmp_path, "")}
    asked = [files.get(option, option) for option in options]

    done = run_trainer("fit", str(unlabelled), "--out", str(out), *asked, *QUICK)

    assert done.returncode == 2
    assert said_of_it in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


@each_model
def test_every_model_is_trained_against_labels(model: str, tmp_path: Path) -> None:
    rows = [*range(100, 120), *range(250, 270)]
    plain = builders.history(readings(), [400, 200], rows)

    labelled = replace(plain, anomalous_N=plain.label_N)

    without = quick(tmp_path / "without", plain, model)
    informed = quick(tmp_path / "with", labelled, model)

    assert find_labels(labelled, 8) is not None
    assert informed.loaded.manifest.weights.sha256 != without.loaded.manifest.weights.sha256
    again = quick(tmp_path / "again" / "with", labelled, model)
    assert again.loaded.digest == informed.loaded.digest


def test_labels_that_are_not_asked_for_change_nothing(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"

    done = run_trainer("fit", str(history), "--out", str(out), "--model", "ae", *QUICK)

    assert done.returncode == 0, done.stderr
    assert "against" not in done.stdout
    assert signature_weights(out) == []
