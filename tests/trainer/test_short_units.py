"""Units too short to be learned from take no room in what is read of a long history."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.detector import artifact
from tests.trainer.test_read_history import (
    WINDOW,
    Columns,
    Write,
    as_parquet,
    each_kind,
    read,
)
from tests.trainer.training import Command
from trainer.read_history import read_history
from trainer.settings import TrainerSettings
from trainer.split import held_out_share, is_long


def of_lengths(n_of_unit: dict[str, int]) -> Columns:
    unit_N = np.repeat(list(n_of_unit), list(n_of_unit.values()))
    step_N = np.concatenate([np.arange(n) for n in n_of_unit.values()])
    return {"time": 60.0 * step_N, "unit": unit_N, "p": step_N}


SHORT = {f"short-{n}": 4 * WINDOW - 1 for n in range(1_000)}
"""Of each a fourth, what a fold holds out, is less than a window."""


@each_kind
def test_units_that_are_too_short_take_no_room_from_the_others(
    write: Write, tmp_path: Path
) -> None:
    mixed = of_lengths(SHORT | {"a": 600, "b": 500})

    history = read(tmp_path / "history", mixed, write=write)

    assert history.units == ("a", "b")
    assert np.diff(history.begin_U).tolist() == [600, 500]
    # All of both was read: nothing is missing between two of a unit's readings.
    assert set(history.joint_J) <= set(history.begin_U)
    assert (history.n_beyond, history.n_of_short_units) == (0, 15_000)
    assert history.n_rows == 16_100


def test_of_the_others_stretches_are_kept(tmp_path: Path) -> None:
    mixed = of_lengths(SHORT | {"a": 6_000, "b": 6_000})

    history = read(tmp_path / "history", mixed)

    assert np.diff(history.begin_U).tolist() == [600, 600]
    assert (history.n_beyond, history.n_of_short_units) == (10_800, 15_000)


@pytest.mark.parametrize(("n_folds", "fraction"), [(1, 0.01), (1, 0.25), (16, 0.25)])
def test_what_is_kept_of_a_unit_is_enough_for_a_fold(
    n_folds: int, fraction: float, tmp_path: Path
) -> None:
    as_parquet(tmp_path / "history", of_lengths({f"u{n}": 600 for n in range(40)}))
    settings = TrainerSettings(
        window=WINDOW, max_readings=1_200, folds=n_folds, calibration_fraction=fraction
    )

    history = read_history(tmp_path / "history", settings)

    share = held_out_share(n_folds, fraction)
    assert is_long(np.diff(history.begin_U), share, WINDOW).all()
    assert len(history) <= 1_200


def test_where_all_are_too_short_how_long_they_must_be_is_told(
    tmp_path: Path, run_trainer: Command
) -> None:
    path = tmp_path / "history.parquet"
    as_parquet(path, of_lengths(SHORT))
    quick = ("--window", str(WINDOW), "--set", "max_readings=1200")

    done = run_trainer("fit", str(path), "--out", str(tmp_path / "d"), *quick)

    assert done.returncode == 2
    assert "too short" in done.stderr


def test_rows_that_are_left_out_have_a_reason_each(
    tmp_path: Path, run_trainer: Command
) -> None:
    mixed = of_lengths(SHORT | {"a": 1_500, "b": 1_500})
    path, out = tmp_path / "history.parquet", tmp_path / "pumps"
    as_parquet(path, mixed | {"p": np.sin(mixed["p"] / 5)})
    quick = ("--window", str(WINDOW), "--set", "steps=40", "--device", "cpu")

    done = run_trainer(
        "fit", str(path), "--out", str(out), *quick, "--set", "max_readings=1200"
    )

    assert done.returncode == 0, done.stderr
    assert "1,200 of 18,000, 2 units" in done.stdout
    left_out = artifact.load(out).manifest.training.left_out
    assert left_out[1:] == [
        "1800 rows left out: more than max_readings",
        "15000 rows left out: unit too short",
    ]


def test_too_short_a_part_of_a_long_history_says_what_to_raise(
    tmp_path: Path, run_trainer: Command
) -> None:
    path = tmp_path / "history.parquet"
    as_parquet(path, of_lengths({"a": 6_000}))
    few = ("--set", "max_readings=64", "--set", "folds=16", "--window", str(WINDOW))

    done = run_trainer("fit", str(path), "--out", str(tmp_path / "d"), *few)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "raise TRAINER_MAX_READINGS (--set max_readings=...)" in line
