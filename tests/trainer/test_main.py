"""The `trainer` command line, as a user meets it."""

import re
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

N_ROWS = 400


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


@pytest.mark.parametrize("family", ["ae", "vae"])
def test_fit_writes_a_detector_and_says_what_it_learned(
    history: Path, tmp_path: Path, family: str
) -> None:
    out = tmp_path / "pumps"

    done = command(
        *("trainer", "fit", str(history), "--out", str(out), "--model", family),
        *("--epochs", "3", "--window", "8", "--seed", "7"),
    )

    assert done.returncode == 0, done.stderr
    loaded = artifact.load(out)
    assert loaded.manifest.model.family == family
    assert loaded.manifest.name == "pumps"
    assert loaded.detector.sensors == builders.SENSORS
    for fact in (loaded.digest, "threshold", "false alarms", "column 'place' left out"):
        assert fact in done.stdout
    assert "constant" not in done.stdout


def test_fit_tells_of_sensors_that_are_left_out_or_never_moved(tmp_path: Path) -> None:
    values_NF = builders.sensor_series(N_ROWS)
    columns = {"time": range(N_ROWS), "moving": values_NF[:, 0]}
    columns |= {f"still-{n}": [21.5] * N_ROWS for n in range(25)}
    columns |= {f"late-{n}": [None] * 300 + [1.0] * 100 for n in range(25)}
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    pyarrow.parquet.write_table(pa.table(columns), path)

    done = command("trainer", "fit", str(path), "--out", str(out), "--epochs", "1")

    assert done.returncode == 0, done.stderr
    [constant] = re.findall(r"^constant +(.*)$", done.stdout, re.M)
    assert constant.startswith("still-0, still-1, ")
    assert constant.endswith("still-19 and 5 more (never moved in training)")
    left_out = re.findall(r"^left out +(.*)$", done.stdout, re.M)
    assert left_out == artifact.load(out).manifest.training.left_out
    assert any("late-19 and 5 more" in line for line in left_out)
    used = re.search(r"^rows used +(\d+) of 400, 1 units, 26 sensors$", done.stdout, re.M)
    assert used is not None
    n_left_out = [int(n) for n in re.findall(r"(\d+) rows left out: ", done.stdout)]
    assert int(used[1]) + sum(n_left_out) == 400


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "crystal-ball"], "--model crystal-ball: expected one of ae, vae"),
        (["--window", "4000"], "the history is too short"),
        (["--trigger", "5/3"], "TRAINER_TRIGGER: expected k/n"),
        (["--epochs", "0"], "TRAINER_EPOCHS"),
        (
            ["--false-alarms-per-day", "inf"],
            "TRAINER_FALSE_ALARMS_PER_DAY: ",
        ),
        (["--device", "abacus"], "device 'abacus'"),
        (["--set", "epoch=3"], "epoch is no setting"),
        (["--set", "epochs"], "expected NAME=VALUE"),
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_writes_nothing(
    history: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    done = command("trainer", "fit", str(history), "--out", str(tmp_path / "d"), *arguments)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_training(history: Path) -> None:
    done = command("trainer", "fit", str(history), "--out", "/proc/detector")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "/proc/detector: cannot be written" in line


def test_a_folder_that_holds_something_else_is_not_touched(
    history: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")

    done = command("trainer", "fit", str(history), "--out", str(tmp_path))

    assert done.returncode == 2
    assert "thesis.txt" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_ctrl_c_ends_it_with_one_line_and_leaves_nothing(
    history: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    out = tmp_path / "out"
    arguments = ["trainer", "fit", str(history), "--out", str(out / "d")]
    arguments += ["--epochs", "100000", "--set", "patience=100000"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=file,
            stderr=file,
            env={"PATH": "", "TERM": "xterm", "FORCE_COLOR": "1"},
        )
    try:
        wait_until(lambda: b"training" in log.read_bytes(), "training has begun")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.wait()

    text = log.read_text()
    assert "Traceback" not in text
    assert text.rstrip().endswith("stopped")
    assert not out.exists()
