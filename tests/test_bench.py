"""The benchmarks can be run. How fast anything is, no test says."""

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import BENCHMARKS, function, table
from tests.bench.protocol import Goal, Line
from tests.bench.scoring import line
from tests.bench.site import Site
from tests.bench.stream import items, series, with_faults


def test_a_benchmark_gives_a_line_that_can_be_shown_and_written(tmp_path: Path) -> None:
    with Site(tmp_path, scale=0.01, n_repeats=1) as site:
        measured = line(site, "ae", 64)

    assert table([measured]).row_count == 1
    assert json.loads(json.dumps(measured.as_dict()))["ratio"] > 0


@pytest.mark.parametrize("name", BENCHMARKS)
def test_importing_a_benchmark_needs_nothing_that_it_measures_against(name: str) -> None:
    assert callable(function(name))


def test_a_ratio_is_the_median_of_the_repetitions_own() -> None:
    slowed = Line("x", "1/s", ours=[9, 1, 8], theirs=[10, 2, 10], against="y")

    assert slowed.ratio == 0.8
    assert slowed.is_met is None


@pytest.mark.parametrize(
    ("goals", "is_met"),
    [
        ([Goal("ratio", ">=", 0.7)], False),
        ([Goal("ratio", ">=", 0.7), Goal("ours", ">=", 50)], True),
        ([Goal("ratio", "<=", 0.7)], True),
    ],
)
def test_one_goal_that_is_met_is_enough(goals: list[Goal], is_met: bool) -> None:
    assert Line("x", "1/s", [60], [100], "y", goals).is_met is is_met


def test_a_record_is_about_150_bytes_or_an_array() -> None:
    alone = [item.value for item in items(series(20, n_units=2))]
    arrays = [item.value for item in items(series(20, n_units=2), n_per_record=10)]

    assert 130 <= sum(map(len, alone)) / len(alone) <= 170
    assert [len(json.loads(value)) for value in arrays] == [10] * 4


def test_every_unit_has_its_faults_in_its_own_steps() -> None:
    values_TUF = series(100, n_units=4)
    is_faulty_TU = (with_faults(values_TUF, 20, every=40, length=5) != values_TUF).any(2)

    assert not is_faulty_TU[:20].any()
    assert is_faulty_TU.sum(axis=0).tolist() == [10, 10, 10, 10]
    assert is_faulty_TU.argmax(axis=0).tolist() == [20, 30, 40, 50]
