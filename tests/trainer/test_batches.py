"""Mini-batches are cut from the history as they are drawn."""

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.records import FloatArray
from pipeline.window import Windows, cut_windows
from tests.builders import sensor_series
from trainer.batches import Batches
from trainer.distributed import ALONE, Ranks

SERIES_NF = sensor_series(400)
MEMBERS = [cut_windows(SERIES_NF[:150], 8), cut_windows(SERIES_NF, 8, stride=5)]
N_WINDOWS = 32


def batches(
    training: list[Windows] = MEMBERS, seed: int = 0, ranks: Ranks = ALONE
) -> Batches:
    return Batches(training, N_WINDOWS, seed, torch.device("cpu"), ranks)


def windows_of(windows: Windows) -> set[bytes]:
    return {
        window.tobytes() for window in np.ascontiguousarray(windows.gather(slice(None)))
    }


def test_each_member_s_are_windows_of_its_own() -> None:
    x_MBTF, observed_MBTF, weight_M = batches().draw()

    assert x_MBTF.shape == (2, N_WINDOWS, 8, 3)
    assert (observed_MBTF == 1.0).all()
    assert weight_M.tolist() == [1.0, 1.0]
    for x_BTF, windows in zip(x_MBTF.numpy(), MEMBERS, strict=True):
        assert {window.tobytes() for window in x_BTF} <= windows_of(windows)


def test_windows_are_drawn_anew_each_time_and_the_same_by_the_same_seed() -> None:
    first, again, other = batches(), batches(), batches(seed=1)

    drawn = [first.draw()[0] for _ in range(2)]

    assert not torch.equal(*drawn)
    assert all(torch.equal(x, again.draw()[0]) for x in drawn)
    assert not torch.equal(drawn[0], other.draw()[0])


def test_what_is_missing_is_filled_in_and_told() -> None:
    gappy_NF: FloatArray = SERIES_NF.copy()
    gappy_NF[::3, 1] = np.nan

    x_MBTF, observed_MBTF, weight_M = batches([cut_windows(gappy_NF, 8)] * 2).draw()

    assert torch.isfinite(x_MBTF).all()
    assert weight_M.tolist() == [1.0, 1.0]
    assert (observed_MBTF[..., [0, 2]] == 1.0).all()
    assert 0.2 < 1.0 - observed_MBTF[..., 1].mean() < 0.5


def test_processes_draw_the_same_batch_and_share_it() -> None:
    whole_MBTF = batches().draw().x_MBTF

    shares = [batches(ranks=Ranks(rank, n_ranks=3)).draw() for rank in range(3)]

    for rank, share in enumerate(shares):
        assert torch.equal(share.x_MBTF, whole_MBTF[:, rank::3])
    # 11, 11 and 10 of 32 windows, of which an average counts each once.
    weights = [float(share.weight_M[0]) for share in shares]
    assert weights == pytest.approx([33 / 32, 33 / 32, 30 / 32])


def test_a_process_without_a_window_is_refused() -> None:
    with pytest.raises(InputError, match="batch_windows 32: fewer than the 33 processes"):
        batches(ranks=Ranks(0, n_ranks=33))
