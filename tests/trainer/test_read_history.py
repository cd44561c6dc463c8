"""A history file of any length is read in bounded memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.detector import artifact
from pipeline.errors import InputError
from tests import builders
from tests.trainer.training import Command
from trainer.history import History
from trainer.read_history import read_history, readings_by_rule
from trainer.settings import TrainerSettings

N_STEPS = 4_000
UNITS = ("a", "b", "c")
N_ROWS = N_STEPS * len(UNITS)
WINDOW = 4
Columns = dict[str, np.ndarray]


def columns() -> Columns:
    """Units in turn, in the order of time. A value says what unit and step it is of."""
    step_N = np.repeat(np.arange(N_STEPS), len(UNITS))
    unit_N = np.tile(np.arange(len(UNITS)), N_STEPS)
    return {
        "time": 60.0 * step_N,
        "unit": np.array(UNITS)[unit_N],
        "p": step_N + 10_000.0 * unit_N,
    }


def as_parquet(path: Path, columns: Columns) -> None:
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=1_000)


def as_csv(path: Path, columns: Columns) -> None:
    pyarrow.csv.write_csv(pa.table(columns), path)


Write = Callable[[Path, Columns], None]
each_kind = pytest.mark.parametrize("write", [as_parquet, as_csv])


def read(
    path: Path,
    columns: Columns,
    max_readings: int | None = 1_200,
    write: Write = as_parquet,
) -> History:
    write(path, columns)
    settings = TrainerSettings(window=WINDOW, max_readings=max_readings)
    return read_history(path, settings)


def is_same(first: History, second: History) -> bool:
    return first.digest() == second.digest() and first.notes == second.notes


@each_kind
def test_of_a_long_history_stretches_of_every_unit_are_kept(
    write: Write, tmp_path: Path
) -> None:
    history = read(tmp_path / "history", columns(), write=write)

    assert sorted(history.units) == sorted(UNITS)
    assert np.diff(history.begin_U).tolist() == [400] * 3
    unit_N, step_N = np.divmod(history.values_NF[:, 0].astype(int), 10_000)
    named = [history.units[unit] for unit in history.unit_N]
    assert named == [UNITS[unit] for unit in unit_N]
    assert history.time_s_N.tolist() == (60.0 * step_N).tolist()
    assert history.n_beyond == N_ROWS - len(history)


def test_where_readings_are_missing_between_two_is_a_joint(tmp_path: Path) -> None:
    history = read(tmp_path / "history", columns())

    after_gap = np.flatnonzero(np.diff(history.values_NF[:, 0]) != 1) + 1
    assert set(after_gap) <= set(history.joint_J)
    # Stretches of 16 windows at the least.
    assert np.diff(after_gap).min() >= 16 * WINDOW


@each_kind
@pytest.mark.parametrize("max_readings", [N_ROWS, 10 * N_ROWS, None])
def test_a_history_that_is_not_too_long_is_read_whole(
    write: Write, max_readings: int | None, tmp_path: Path
) -> None:
    history = read(tmp_path / "history", columns(), max_readings, write)

    assert len(history) == N_ROWS
    assert len(history.joint_J) == history.n_beyond == 0
    assert history.notes == []


def test_the_file_s_kind_makes_no_difference(tmp_path: Path) -> None:
    parquet, csv = (
        read(tmp_path / write.__name__, columns(), write=write)
        for write in (as_parquet, as_csv)
    )

    assert is_same(parquet, csv)


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    history = read(tmp_path / "history", columns())

    assert history.notes == [
        "1,200 of 12,000 rows were read, in 18 stretches of 3 of 3 units"
    ]


def test_rows_that_are_a_little_out_of_order_are_sorted(tmp_path: Path) -> None:
    shuffled = columns()
    order_N = np.argsort(
        np.arange(N_ROWS) + np.random.default_rng(0).uniform(0, 12, N_ROWS)
    )
    shuffled = {name: column[order_N] for name, column in shuffled.items()}

    history = read(tmp_path / "history", shuffled)

    for begin, end in zip(history.begin_U, history.begin_U[1:], strict=False):
        assert (np.diff(history.time_s_N[begin:end]) > 0).all()
    assert len(history.joint_J) < 60


def test_rows_in_no_order_at_all_are_refused_if_they_are_too_many(tmp_path: Path) -> None:
    order_N = np.random.default_rng(0).permutation(N_ROWS)
    shuffled = {name: column[order_N] for name, column in columns().items()}

    assert len(read(tmp_path / "short", shuffled, N_ROWS)) == N_ROWS
    with pytest.raises(
        InputError, match="sort each unit's rows by time, or set TRAINER_MAX"
    ):
        read(tmp_path / "long", shuffled)


def test_labels_stay_with_their_readings(tmp_path: Path) -> None:
    labelled = columns()
    labelled["label"] = (labelled["p"] % 100 < 10).astype(np.int64)

    history = read(tmp_path / "history", labelled)

    is_labelled_N = history.values_NF[:, 0] % 100 < 10
    assert is_labelled_N.any()
    assert history.label_N.tolist() == is_labelled_N.tolist()


def test_columns_of_text_are_left_out_and_told_of(tmp_path: Path) -> None:
    with_text = columns() | {"place": np.full(N_ROWS, "hall")}

    for write in (as_parquet, as_csv):
        history = read(tmp_path / write.__name__, with_text, write=write)
        assert history.sensors == ("p",)
        assert history.notes[0] == "column 'place' left out: it is text"


@each_kind
def test_a_table_without_units_is_of_one(write: Write, tmp_path: Path) -> None:
    alone = {"time": np.arange(9_000.0), "p": np.arange(9_000.0)}

    history = read(tmp_path / "history", alone, write=write)

    assert len(history.units) == 1
    assert len(history) == 1_200


@each_kind
def test_what_is_wrong_is_named_by_its_row_in_the_file(
    write: Write, tmp_path: Path
) -> None:
    wrong = columns()
    wrong["time"][5_000:] = -1.0

    with pytest.raises(InputError, match=r"row (\d+): time: expected seconds") as raised:
        read(tmp_path / "history", wrong, write=write)

    row = int(str(raised.value).split("row ")[1].split(":")[0])
    assert 5_000 < row < 6_500


def test_a_unit_without_a_name_is_refused_there_too(tmp_path: Path) -> None:
    nameless = columns()
    nameless["unit"][6_000:] = ""

    with pytest.raises(InputError, match="expected a unit, got nothing"):
        read(tmp_path / "history", nameless)


def test_more_sensors_leave_room_for_fewer_readings() -> None:
    assert readings_by_rule(10) > 900_000
    assert readings_by_rule(50) < readings_by_rule(10) / 3
    assert readings_by_rule(10_000) == 100_000


def test_fit_says_how_much_of_a_long_history_it_used(
    tmp_path: Path, run_trainer: Command
) -> None:
    values_NF = builders.sensor_series(6_000)
    readings = {"time": 60.0 * np.arange(6_000), "a": values_NF[:, 0], "b": values_NF[:, 1]}
    path, out = tmp_path / "history.parquet", tmp_path / "pumps"
    as_parquet(path, readings)
    quick = ("--window", "8", "--set", "steps=40", "--device", "cpu", "--model", "ae")

    done = run_trainer(
        "fit", str(path), "--out", str(out), *quick, "--set", "max_readings=2000"
    )

    assert done.returncode == 0, done.stderr
    training = artifact.load(out).manifest.training
    assert training.n_rows == 6_000
    assert "4000 rows left out: more than max_readings" in training.left_out
    assert "2,000 of 6,000, 1 units" in done.stdout
    assert all(line in done.stdout for line in training.left_out)
