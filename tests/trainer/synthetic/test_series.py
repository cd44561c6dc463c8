"""Series quilted of windows."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from pipeline.records import FloatArray
from tests.trainer.synthetic.conftest import SERIES_NF, T
from trainer.synthetic.draws import Draws, Noise
from trainer.synthetic.series import Quilt

MakeDraws = Callable[..., Draws]
N_NEW = T - T // 4


def pieces(draws: Draws, n_units: int, n_pieces: int) -> list[FloatArray]:
    return list(islice(Quilt(draws, n_units, seed=0).pieces(), n_pieces))


@pytest.mark.parametrize("noise", ["observed", "gaussian"])
@pytest.mark.parametrize("n_units", [1, 5])
def test_each_piece_continues_every_unit(
    n_units: int, noise: Noise, draws: MakeDraws
) -> None:
    for piece in pieces(draws(noise=noise), n_units, 40):
        assert piece.shape == (n_units, N_NEW, 3)
        assert np.isfinite(piece).all()


def test_units_that_are_drawn_in_parts_are_continued_alike(
    draws: MakeDraws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Draws, "n_at_once", 2)

    assert all(piece.shape == (5, N_NEW, 3) for piece in pieces(draws(), 5, 20))


def test_steps_at_joints_are_no_larger_than_elsewhere(draws: MakeDraws) -> None:
    series_NF = np.concatenate([piece[0] for piece in pieces(draws(), 1, 400)])
    real_NF = (SERIES_NF - SERIES_NF.mean(axis=0)) / SERIES_NF.std(axis=0)

    for share in (0.5, 0.9, 0.99):
        real, drawn = (
            np.quantile(np.abs(np.diff(x, axis=0)), share, axis=0)
            for x in (real_NF, series_NF)
        )
        assert (drawn < 1.3 * real).all()


def test_a_series_does_not_repeat_itself(draws: MakeDraws) -> None:
    windows = {piece.tobytes() for piece in pieces(draws(), 1, 100)}

    assert len(windows) > 50


def test_units_differ(draws: MakeDraws) -> None:
    first, second = np.concatenate(pieces(draws(), 2, 20), axis=1)

    assert (first != second).any()
