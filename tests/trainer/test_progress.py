"""What `trainer fit` says of what it has learned, and of what is in the way."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.detector import artifact
from tests import builders
from tests.trainer.training import Command

N_ROWS = 400
QUICK = ("--window", "8", "--set", "steps=40", "--device", "cpu")


def test_fit_tells_of_sensors_that_are_left_out_or_context(
    tmp_path: Path, run_trainer: Command
) -> None:
    values_NF = builders.sensor_series(N_ROWS)
    columns = {"time": range(N_ROWS), "moving": values_NF[:, 0]}
    columns |= {f"still-{n}": [21.5] * N_ROWS for n in range(25)}
    columns |= {f"rare-{n}": [None] * 395 + [1.0] * 5 for n in range(25)}
    columns |= {f"flag-{n}": [0, 1] * (N_ROWS // 2) for n in range(25)}
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    pyarrow.parquet.write_table(pa.table(columns), path)

    done = run_trainer("fit", str(path), "--out", str(out), *QUICK)

    assert done.returncode == 0, done.stderr
    [context] = re.findall(r"^context +(.*)$", done.stdout, re.M)
    assert context.startswith("flag-0, flag-1, ")
    assert "flag-19 and 5 more (flags" in context
    left_out = re.findall(r"^left out +(.*)$", done.stdout, re.M)
    assert left_out == artifact.load(out).manifest.training.left_out
    assert any("one value only: still-0, " in line for line in left_out)
    assert any("still-19 and 5 more" in line for line in left_out)
    assert any("fewer than 10 values" in line and "rare-19" in line for line in left_out)
    assert "400 of 400, 1 units, 26 sensors" in done.stdout


def test_fit_tells_when_all_that_is_left_never_moved(
    tmp_path: Path, run_trainer: Command
) -> None:
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    columns = {"time": range(N_ROWS), "still": [21.5] * N_ROWS}
    pyarrow.parquet.write_table(pa.table(columns), path)

    done = run_trainer("fit", str(path), "--out", str(out), *QUICK)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^constant +still \(never moved in training\)$", done.stdout, re.M)


def test_fit_tells_of_a_sensor_whose_movement_is_lost_in_32_bits(
    tmp_path: Path, run_trainer: Command
) -> None:
    values_NF = builders.sensor_series(N_ROWS).astype(np.float64)
    columns = {"time": range(N_ROWS), "low": values_NF[:, 0], "high": values_NF[:, 1] + 1e9}
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    pyarrow.parquet.write_table(pa.table(columns), path)

    done = run_trainer("fit", str(path), "--out", str(out), *QUICK)

    assert done.returncode == 0, done.stderr
    left_out = artifact.load(out).manifest.training.left_out
    [told] = [line for line in left_out if "movement is lost" in line]
    assert told.startswith("column 'high': at a level of 1e+09 ")
    assert told in done.stdout


@pytest.mark.parametrize(
    ("per_day", "limited_by", "clause", "others"),
    [
        ("0.1", "history", "the history is too short .* takes up to 100 unit-days", ()),
        (
            "1000",
            "scores",
            "more than these scores can make before incidents melt into",
            (),
        ),
        (
            "10",
            "max_readings",
            r"TRAINER_MAX_READINGS left out rows .* takes up to 1 unit-days: raise it, .* "
            r"--set max_readings=400",
            ("--set", "max_readings=300"),
        ),
    ],
)
def test_fit_says_what_is_in_the_way_of_a_rate(
    tmp_path: Path,
    per_day: str,
    limited_by: str,
    clause: str,
    others: tuple[str, ...],
    run_trainer: Command,
) -> None:
    values_NF = builders.sensor_series(N_ROWS)
    columns = {"time": 60 * np.arange(N_ROWS), "a": values_NF[:, 0], "b": values_NF[:, 1]}
    path, out = tmp_path / "pumps.parquet", tmp_path / "pumps"
    pyarrow.parquet.write_table(pa.table(columns), path)
    asked = ("--false-alarms-per-day", per_day, *others)

    done = run_trainer("fit", str(path), "--out", str(out), *asked, *QUICK)

    assert re.search(rf"^false alarms .* asked {per_day}; .*{clause}", done.stdout, re.M)
    assert artifact.load(out).manifest.threshold.limited_by == limited_by
