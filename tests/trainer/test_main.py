"""The `trainer` command line, as a user meets it."""

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.detector import artifact
from tests import builders
from tests.processes import command
from tests.support import wait_until
from tests.trainer.training import Command

N_ROWS = 400
QUICK = ("--window", "8", "--set", "steps=40", "--device", "cpu")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values_NF = builders.sensor_series(N_ROWS)
    sensors = dict(zip(builders.SENSORS, values_NF.T, strict=True))
    times = [f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z" for i in range(N_ROWS)]
    path = tmp_path_factory.mktemp("history") / "pumps.csv"
    pyarrow.csv.write_csv(
        pa.table({"time": times, "place": ["hall"] * N_ROWS, **sensors}), path
    )
    return path


def test_fit_writes_an_ensemble_and_says_what_it_learned(
    history: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pumps"

    done = command("trainer", "fit", str(history), "--out", str(out), "--seed", "7", *QUICK)

    assert done.returncode == 0, done.stderr
    loaded = artifact.load(out)
    assert loaded.manifest.model == "vae x 4 + dae x 4"
    assert loaded.manifest.name == "pumps"
    assert loaded.manifest.training.seed == 7
    assert loaded.detector.sensors == builders.SENSORS
    for fact in (
        *(loaded.digest, "vae x 4 + dae x 4", "400 of 400, 1 units, 3 sensors"),
        *("40 steps", "of what they had not seen", "threshold", "false alarms"),
        "column 'place' left out",
    ):
        assert fact in done.stdout
    assert "constant" not in done.stdout
    assert "context" not in done.stdout


def test_fit_trains_one_family_as_asked(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"
    options = ("--model", "dvae", "--score", "elbo", "--epochs", "2", "--latent", "3")

    done = run_trainer("fit", str(history), "--out", str(out), *options, *QUICK)

    assert done.returncode == 0, done.stderr
    manifest = artifact.load(out).manifest
    assert manifest.model == "dvae x 4"
    # Each member trains on some 290 windows: three mini-batches of 128 an epoch.
    assert manifest.training.n_steps == 6
    assert manifest.networks[0].latent == 3


@pytest.mark.parametrize("score", ["elbo", "reconstruction-probability"])
def test_a_score_that_only_a_vae_makes_takes_one_where_no_model_is_named(
    history: Path, tmp_path: Path, score: str, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"

    done = run_trainer("fit", str(history), "--out", str(out), "--score", score, *QUICK)

    assert done.returncode == 0, done.stderr
    manifest = artifact.load(out).manifest
    assert manifest.model == "vae x 4"
    assert manifest.training.settings["score"] == score


def test_a_history_that_is_mostly_labelled_is_refused_for_that_in_one_line(
    tmp_path: Path, run_trainer: Command
) -> None:
    label = [0] * 20 + [1] * (N_ROWS - 20)
    columns = {"time": range(N_ROWS), "p": range(N_ROWS), "label": label}
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    pyarrow.parquet.write_table(pa.table(columns), path)

    done = run_trainer("fit", str(path), "--out", str(out))

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "of 400 rows 380 are labelled as anomalous, too many" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--model", "crystal-ball"],
            "--model crystal-ball: expected one of ensemble, ae, vae, dae, dvae, conv, gru",
        ),
        (["--model", "ae", "--score", "elbo"], "'elbo' is made by a VAE, not by 'ae'"),
        (
            ["--model", "ensemble", "--score", "reconstruction-probability"],
            "choose --model vae or dvae",
        ),
        (["--score", "mood"], "TRAINER_SCORE"),
        (["--window", "4000"], "the history is too short"),
        (["--trigger", "5/3"], "TRAINER_TRIGGER: expected k/n"),
        (["--epochs", "0"], "TRAINER_EPOCHS"),
        (["--false-alarms-per-day", "inf"], "TRAINER_FALSE_ALARMS_PER_DAY: "),
        (["--device", "abacus"], "device 'abacus'"),
        (["--set", "epoch=3"], "epoch is no setting"),
        (["--set", "steps"], "expected NAME=VALUE"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_writes_nothing(
    history: Path,
    tmp_path: Path,
    arguments: list[str],
    expected: str,
    run_trainer: Command,
) -> None:
    done = run_trainer("fit", str(history), "--out", str(tmp_path / "d"), *arguments)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_training(
    history: Path, run_trainer: Command
) -> None:
    done = run_trainer("fit", str(history), "--out", "/proc/detector")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "/proc/detector: cannot be written" in line


def test_a_folder_that_holds_something_else_is_not_touched(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")

    done = run_trainer("fit", str(history), "--out", str(tmp_path))

    assert done.returncode == 2
    assert "thesis.txt" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_ctrl_c_ends_it_with_one_line_and_leaves_nothing(
    history: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    out = tmp_path / "out"
    arguments = ["trainer", "fit", str(history), "--out", str(out / "d")]
    arguments += ["--epochs", "100000000", "--set", "steps=100000000"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=file,
            stderr=file,
            env={"PATH": "", "TERM": "xterm", "FORCE_COLOR": "1"},
        )
    try:
        wait_until(
            lambda: b"training" in log.read_bytes(), "training has begun", timeout_s=120
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()

    text = log.read_text()
    assert "Traceback" not in text
    assert text.rstrip().endswith("stopped")
    assert not out.exists()
