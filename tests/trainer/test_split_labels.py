"""Labelled readings are in no fold; folds are equal shares of the others."""

import numpy as np
import pytest

from pipeline.errors import InputError
from tests.trainer.folding import LENGTH, counting, folds_of, readings_of


def test_a_label_breaks_a_series() -> None:
    series = [f.held_out.series_B for f in folds_of(counting([400], [150])).folds]

    assert [np.unique(series_B).tolist() for series_B in series] == [[0], [1, 2], [3], [4]]


def test_folds_are_equal_shares_of_the_readings_that_are_not_labelled() -> None:
    # 200 of 800 are labelled in one stretch, as long as a fold of all would be.
    folds = folds_of(counting([800], labelled=list(range(190, 390)))).folds

    assert [sorted(readings_of(fold.held_out.windows)) for fold in folds] == [
        [*range(150)],
        [*range(150, 190), *range(390, 500)],
        [*range(500, 650)],
        [*range(650, 800)],
    ]


def test_one_fold_holds_out_the_last_of_the_readings_that_are_not_labelled() -> None:
    [fold] = folds_of(counting([800], labelled=list(range(600, 800))), n_folds=1).folds

    assert readings_of(fold.held_out.windows) == {*range(450, 600)}
    assert readings_of(fold.training) == {*range(450)}


def test_a_reading_between_labels_that_is_in_no_window_counts_for_no_fold() -> None:
    # Up to 400, no stretch without a label is as long as a window.
    labelled = list(range(0, 401, LENGTH))

    folds = folds_of(counting([801], labelled)).folds

    spans = [sorted(readings_of(fold.held_out.windows)) for fold in folds]
    assert [(span[0], span[-1]) for span in spans] == [
        *((401, 500), (501, 600), (601, 700), (701, 800))
    ]


def test_a_unit_that_labels_leave_next_to_nothing_of_is_left_out_for_that() -> None:
    folds = folds_of(counting([400, 400], labelled=list(range(420, 800))))

    assert folds.n_left_out == {
        "labelled as anomalous": 380,
        "unit too short without its labelled rows": 20,
    }


def test_history_that_is_all_labelled_is_refused_for_that() -> None:
    with pytest.raises(InputError, match="every row is labelled as anomalous"):
        folds_of(counting([500], labelled=list(range(500))))


@pytest.mark.parametrize("n_folds", [1, 4])
def test_where_labels_leave_too_little_they_are_named_not_the_length(n_folds: int) -> None:
    with pytest.raises(InputError, match="of 1,000 rows 980 are labelled") as raised:
        folds_of(counting([1_000], labelled=list(range(20, 1_000))), n_folds=n_folds)

    assert "too short" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_there_is_too_little_with_or_without_labels_it_is_too_short() -> None:
    with pytest.raises(InputError, match="the history is too short"):
        folds_of(counting([30], labelled=[3]))
