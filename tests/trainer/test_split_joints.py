"""Where readings of a unit were left out, its windows begin anew."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.folding import LENGTH, counting, folds_of, positions
from trainer.history import History

JOINTS = [50, 61, 120, 300]


def jointed(labelled: list[int] | None = None) -> History:
    """Two units; readings were left out before these four, the last a unit's first."""
    history = counting([300, 200], labelled)
    return replace(history, joint_J=np.array(JOINTS))


def windows_of(history: History, stride: int = 1, n_folds: int = 4) -> list[list[int]]:
    folds = folds_of(history, stride=stride, n_folds=n_folds).folds
    parts = [part for fold in folds for part in (fold.training, fold.held_out.windows)]
    return [window for part in parts for window in positions(part)]


@pytest.mark.parametrize("n_folds", [1, 4])
@pytest.mark.parametrize("stride", [1, 3])
def test_no_window_spans_a_joint(stride: int, n_folds: int) -> None:
    for window in windows_of(jointed(), stride, n_folds):
        assert not any(joint in window[1:] for joint in JOINTS)


def test_every_other_window_is_there() -> None:
    history = counting([300, 200])
    whole = {tuple(window) for window in windows_of(history)}

    kept = {tuple(window) for window in windows_of(jointed())}

    spanning = {w for w in whole if any(joint in w[1:] for joint in JOINTS)}
    # Folds may be cut elsewhere, so that windows at their edges differ.
    assert len((whole - spanning) ^ kept) < 4 * 4 * LENGTH
    assert any(window[0] == 50 for window in kept)
    assert any(window[-1] == 49 for window in kept)


def test_a_series_ends_at_a_joint() -> None:
    for fold in folds_of(jointed()).folds:
        held_out = fold.held_out
        newest_B = held_out.windows.start_B + LENGTH - 1
        for series in np.unique(held_out.series_B):
            steps = np.diff(newest_B[held_out.series_B == series])
            assert (steps == 1).all()


def test_labels_are_left_out_as_everywhere() -> None:
    windows = windows_of(jointed(labelled=[150]))

    assert not any(150 in window for window in windows)
    assert any(149 in window for window in windows)


def test_readings_that_were_not_read_are_counted_as_left_out() -> None:
    history = replace(jointed(), n_beyond=1_000)

    assert folds_of(history).n_left_out["more than max_readings"] == 1_000
