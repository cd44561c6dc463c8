"""History: readings sorted into one series per unit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from tests import builders
from trainer.history import History, listed, shortened, without_end
from trainer.read_history import read_history
from trainer.settings import TrainerSettings


def read(folder: Path, text: str) -> History:
    path = folder / "history.csv"
    path.write_text(text)
    return read_history(path, TrainerSettings())


def test_units_are_apart_and_each_is_in_the_order_of_time(tmp_path: Path) -> None:
    history = read(tmp_path, "time,unit,p\n30,b,1\n20,a,2\n10,b,3\n10,a,4\n")

    assert history.units == ("b", "a")
    assert history.begin_U.tolist() == [0, 2, 4]
    assert history.time_s_N.tolist() == [10, 30, 10, 20]
    assert history.values_NF[:, 0].tolist() == [3, 1, 4, 2]


def test_labels_stay_with_their_readings(tmp_path: Path) -> None:
    history = read(tmp_path, "time,p,label\n30,1,1\n10,2,0\n20,3,0\n")

    assert history.values_NF[history.label_N, 0].tolist() == [1]


def test_without_labels_nothing_is_labelled(tmp_path: Path) -> None:
    assert not read(tmp_path, "time,p\n1,1\n").label_N.any()


def test_rows_out_of_order_are_told_of(tmp_path: Path) -> None:
    history = read(tmp_path, "time,p\n1,1\n3,3\n2,2\n")

    assert history.notes == ["rows were not in the order of time (1 steps back)"]


def test_a_sensor_without_any_value_is_left_out_and_told_of(tmp_path: Path) -> None:
    history = read(tmp_path, "time,p,q\n1,1,\n2,2,\n")

    assert history.sensors == ("p",)
    assert history.values_NF.shape == (2, 1)
    assert history.notes == ["columns left out, they have no value: q"]


def test_what_is_left_out_of_a_wide_table_is_told_in_few_and_short_lines(
    tmp_path: Path,
) -> None:
    empty = [f"empty-{n}-{'e' * 100}" for n in range(500)]
    text = [f"text-{n}-{'t' * 1_000}" for n in range(500)]
    rows = [",".join([str(n), "1", *[""] * 500, *["x"] * 500]) for n in range(2)]

    history = read(tmp_path, "\n".join([",".join(["time,p", *empty, *text]), *rows, ""]))

    assert history.sensors == ("p",)
    assert len(history.notes) <= 22
    assert max(len(note) for note in history.notes) < 1_500
    assert history.notes[-1].endswith("… and 480 more")


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\x85b", "a\rb"])
def test_a_name_never_breaks_its_line(name: str) -> None:
    assert len(listed([name, "c"]).splitlines()) == 1
    assert len(shortened([name])[0].splitlines()) == 1


def test_history_without_any_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sensor has a value"):
        read(tmp_path, "time,p\n1,\n2,\n")


@pytest.mark.parametrize("name", ["a\\b", '"3"" pipe"'])
def test_a_sensor_whose_name_no_reading_can_hold_is_refused(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="rename these columns"):
        read(tmp_path, f"time,{name}\n1,1\n")


def test_the_digest_is_of_what_the_file_holds_not_of_how(tmp_path: Path) -> None:
    first = read(tmp_path, "time,p\n1,1\n2,2\n").digest()

    assert read(tmp_path, "time,p\n2.0,2\n1.0,1.0\n").digest() == first
    assert first.startswith("sha256:")


@pytest.mark.parametrize(
    "other",
    [
        "time,q\n1,1\n2,2\n",
        "time,p\n1,1\n3,2\n",
        "time,p\n1,1\n2,2.5\n",
        "time,p,label\n1,1,0\n2,2,1\n",
        "time,unit,p\n1,x,1\n2,x,2\n",
    ],
)
def test_another_history_has_another_digest(other: str, tmp_path: Path) -> None:
    assert read(tmp_path, other).digest() != read(tmp_path, "time,p\n1,1\n2,2\n").digest()


def test_missing_values_stay_missing(tmp_path: Path) -> None:
    history = read(tmp_path, "time,p,q\n1,1,\n2,,2\n")

    assert np.isnan(history.values_NF).tolist() == [[False, True], [True, False]]


def test_the_test_part_is_the_end_of_each_unit() -> None:
    values_NF = np.arange(30, dtype=np.float32)[:, None]
    history = replace(
        builders.history(values_NF, [20, 10], labelled=[19, 25]),
        joint_J=np.array([5, 18, 23]),
    )

    kept = without_end(history, 0.25)

    assert kept.values_NF[:, 0].tolist() == [*range(15), *range(20, 28)]
    assert kept.begin_U.tolist() == [0, 15, 23]
    assert np.flatnonzero(kept.label_N).tolist() == [20]
    assert kept.joint_J.tolist() == [5, 18]
    assert "test part, the last 25 % of each unit: 7 rows" in kept.notes


def test_without_a_test_part_a_history_stays_as_it_is() -> None:
    history = builders.history(np.ones((5, 1), dtype=np.float32))

    assert without_end(history, 0.0) is history
