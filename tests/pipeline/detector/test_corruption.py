"""What training does to windows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.detector.corruption import Corruption
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.filling import interpolated
from pipeline.detector.network import NetworkShape

SHARE = 0.25


def walks(n_windows: int = 500, length: int = 12) -> Tensor:
    """Windows that differ from row to row, so that what is changed can be told."""
    return torch.randn(2, n_windows, length, 3).cumsum(dim=2) + 1.0


def test_without_a_part_windows_are_shown_as_they_are() -> None:
    x_MBTF = walks()

    assert Corruption().of(x_MBTF) is x_MBTF


def test_a_sensor_is_dropped_over_the_whole_window_or_not_at_all() -> None:
    torch.manual_seed(0)
    x_MBTF = torch.ones(2, 1_000, 6, 2)

    kept_MBTF = Corruption(sensors=SHARE).of(x_MBTF)

    assert (kept_MBTF == kept_MBTF[:, :, :1]).all()
    assert set(kept_MBTF.flatten().tolist()) == {0.0, 1.0}
    assert (kept_MBTF == 0).float().mean().item() == pytest.approx(SHARE, abs=0.02)


def test_noise_is_of_a_level_of_its_own_in_each_window() -> None:
    torch.manual_seed(0)
    x_MBTF = torch.zeros(1, 4_000, 50, 2)

    level_B = Corruption(noise=2.0).of(x_MBTF)[0].flatten(1).std(dim=1)

    assert level_B.max() < 2.6
    assert level_B.mean().item() == pytest.approx(1.0, abs=0.05)
    assert ((level_B < 0.5).float().mean().item()) == pytest.approx(0.25, abs=0.05)


def test_a_stretch_is_replaced_by_the_line_that_a_gap_is_filled_with() -> None:
    torch.manual_seed(0)
    x_MBTF = walks()

    shown_MBTF = Corruption(stretches=1.0).of(x_MBTF)

    is_lost_MBTF = shown_MBTF != x_MBTF
    gaps_BTF = torch.where(is_lost_MBTF, torch.nan, x_MBTF).flatten(0, 1)
    torch.testing.assert_close(shown_MBTF.flatten(0, 1), interpolated(gaps_BTF))


@given(length=st.integers(2, 40), share=st.floats(0.0, 1.0))
def test_a_stretch_is_one_run_of_at_most_half_the_window(length: int, share: float) -> None:
    torch.manual_seed(0)
    x_MBTF = walks(50, length)

    is_lost_MBTF = Corruption(stretches=share).of(x_MBTF) != x_MBTF

    edges = is_lost_MBTF.int().diff(dim=2, prepend=torch.zeros(2, 50, 1, 3).int())
    assert ((edges == 1).sum(dim=2) <= 1).all()
    assert (is_lost_MBTF.sum(dim=2) <= max(length // 2, 1)).all()


def test_as_many_sensors_have_a_stretch_as_asked_for() -> None:
    torch.manual_seed(0)
    x_MBTF = walks(2_000)

    is_lost_MBF = (Corruption(stretches=SHARE).of(x_MBTF) != x_MBTF).any(dim=2)

    assert is_lost_MBF.float().mean().item() == pytest.approx(SHARE, abs=0.02)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_only_the_denoising_families_drop_sensors_of_themselves(family: str) -> None:
    corruption = build_network(family, NetworkShape(4, 2, 8, 2)).corruption

    expected = Corruption(sensors=0.25) if family in ("dae", "dvae") else Corruption()
    assert corruption == expected
