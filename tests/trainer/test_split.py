"""History to folds: what each member trains on, and what is held out from it."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import InputError
from tests.trainer.folding import LENGTH, counting, folds_of, positions, readings_of
from trainer.history import History
from trainer.split import Folds


def unit_of(history: History) -> list[int]:
    """The unit of each reading."""
    n_of_unit = np.diff(history.begin_U)
    return np.repeat(np.arange(len(history.units)), n_of_unit).tolist()


@st.composite
def splits(draw: st.DrawFn) -> tuple[History, Folds, int, int]:
    """A history of up to three units that is long enough, its folds, T and K."""
    length = draw(st.integers(2, 9))
    n_folds = draw(st.integers(1, 5))
    n_of_unit = draw(st.lists(st.integers(1, 300), min_size=1, max_size=3))
    labelled = draw(st.lists(st.integers(0, sum(n_of_unit) - 1), max_size=3))
    history = counting(n_of_unit, labelled)
    try:
        folds = folds_of(history, length, draw(st.integers(1, 3)), n_folds)
    except InputError:
        assume(False)
    return history, folds, length, n_folds


Drawn = tuple[History, Folds, int, int]


@given(splits())
def test_no_reading_is_both_trained_on_and_held_out(drawn: Drawn) -> None:
    _, folds, _, n_folds = drawn

    assert len(folds.folds) == n_folds
    for fold in folds.folds:
        held_out = readings_of(fold.held_out.windows)
        assert held_out.isdisjoint(readings_of(fold.training))


@given(splits())
def test_every_clean_reading_is_held_out_once_but_near_the_edges_of_folds(
    drawn: Drawn,
) -> None:
    history, folds, length, n_folds = drawn
    newest = [w[-1] for fold in folds.folds for w in positions(fold.held_out.windows)]

    expected = []
    for begin, end in itertools.pairwise(history.begin_U.tolist()):
        windows = [
            range(i, i + length)
            for i in range(begin, end - length + 1)
            if not history.label_N[i : i + length].any()
        ]
        kept = sorted(set(itertools.chain(*windows)))
        n = len(kept)
        if int(0.25 * n if n_folds == 1 else n / n_folds) < length:
            continue
        edges = [*kept, end]
        ranks = [n * k // n_folds for k in range(n_folds + 1)]
        if n_folds == 1:
            ranks[0] = n - int(0.25 * n)
        for first, last in itertools.pairwise(ranks):
            expected += [
                w[-1] for w in windows if edges[first] <= w[0] and w[-1] < edges[last]
            ]

    assert sorted(newest) == sorted(expected)


@given(splits())
def test_a_window_is_of_one_unit_without_a_gap_or_a_label(drawn: Drawn) -> None:
    history, folds, length, _ = drawn
    unit_N = unit_of(history)

    for fold in folds.folds:
        for window in positions(fold.training) + positions(fold.held_out.windows):
            assert window == list(range(window[0], window[0] + length))
            assert unit_N[window[0]] == unit_N[window[-1]]
            assert not history.label_N[window].any()


@given(splits())
def test_held_out_windows_know_their_unit_and_the_time_of_their_newest_reading(
    drawn: Drawn,
) -> None:
    history, folds, _, _ = drawn
    unit_N = unit_of(history)

    for fold in folds.folds:
        newest = [window[-1] for window in positions(fold.held_out.windows)]
        assert fold.held_out.unit_B.tolist() == [unit_N[n] for n in newest]
        assert fold.held_out.time_s_B.tolist() == history.time_s_N[newest].tolist()


@given(splits())
def test_a_series_breaks_wherever_one_window_does_not_follow_the_last(
    drawn: Drawn,
) -> None:
    history, folds, _, _ = drawn
    unit_N = unit_of(history)

    expected, number, before = [], -1, None
    for k, fold in enumerate(folds.folds):
        for window in positions(fold.held_out.windows):
            follows = before == (k, unit_N[window[0]], window[0] - 1)
            number += not follows
            expected.append(number)
            before = (k, unit_N[window[0]], window[0])
    found = np.concatenate([fold.held_out.series_B for fold in folds.folds])

    assert found.tolist() == expected
    assert int(folds.series_B.max()) == number


@given(splits())
def test_every_reading_is_used_or_left_out_for_one_reason(drawn: Drawn) -> None:
    history, folds, _, _ = drawn

    used = set[int]().union(
        *(readings_of(f.training) | readings_of(f.held_out.windows) for f in folds.folds)
    )
    assert sorted(used) == np.flatnonzero(folds.used_N).tolist()
    assert len(used) + sum(folds.n_left_out.values()) == len(history)


def test_each_fold_holds_out_a_stretch_of_every_unit() -> None:
    folds = folds_of(counting([400, 200])).folds

    spans = [sorted(readings_of(fold.held_out.windows)) for fold in folds]
    expected = [[*range(100 * k, 100 * k + 100)] for k in range(4)]
    expected = [[*e, *range(400 + 50 * k, 450 + 50 * k)] for k, e in enumerate(expected)]
    assert spans == expected
    assert [fold.held_out.series_B[[0, -1]].tolist() for fold in folds] == [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
    ]


def test_one_fold_holds_out_the_end_of_every_unit() -> None:
    [fold] = folds_of(counting([400, 200]), n_folds=1).folds

    held_out = sorted(readings_of(fold.held_out.windows))
    assert held_out == [*range(300, 400), *range(550, 600)]
    assert readings_of(fold.training) == {*range(300), *range(400, 550)}


def test_held_out_windows_end_at_every_reading_and_training_windows_keep_the_stride() -> (
    None
):
    fold = folds_of(counting([1_000]), stride=5).folds[0]

    assert set(np.diff(fold.training.start_B).tolist()) == {5}
    assert set(np.diff(fold.held_out.windows.start_B).tolist()) == {1}


def test_what_is_left_out_is_counted_by_reason() -> None:
    # Labelled: readings 3 and 4, and one of the unit that is too short. The three before
    # the first fill no window.
    folds = folds_of(counting([1_000, 5], labelled=[3, 4, 1_000]))

    assert folds.n_left_out == {
        "labelled as anomalous": 3,
        "unit too short": 4,
        "in no whole window": 3,
    }


def test_windows_are_counted_over_all_folds() -> None:
    n_held_out = 4 * (250 - LENGTH + 1)
    # The first and the last fold leave one stretch to train on, the others two.
    n_training = (2 * (750 - LENGTH + 1) + 2 * (750 - 2 * (LENGTH - 1))) / 4

    n_windows = folds_of(counting([1_000])).n_windows()

    assert n_windows == {"training": round(n_training), "held out": n_held_out}


@pytest.mark.parametrize("n_readings", [1, 5, 40, 59])
@pytest.mark.parametrize("stride", [1, 10])
@pytest.mark.parametrize("n_folds", [1, 2, 4, 16])
def test_history_too_short_says_how_many_rows_would_do(
    n_readings: int, stride: int, n_folds: int
) -> None:
    with pytest.raises(InputError, match="the history is too short") as raised:
        folds_of(counting([n_readings]), stride=stride, n_folds=n_folds)

    message = str(raised.value)
    needed = re.search(r"needs about (\d+) rows; the longest has (\d+)", message)
    assert needed is not None
    assert int(needed[2]) == n_readings
    folds_of(counting([int(needed[1])]), stride=stride, n_folds=n_folds)  # raises nothing
