"""What networks see in the place of values that are missing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.filling import interpolated, with_silent_sensors
from pipeline.detector.network import NetworkShape
from pipeline.detector.residual import mean_newest
from pipeline.records import FloatArray

NAN = math.nan
B, T, F = 5, 6, 3


def filled(*values: float) -> list[float]:
    """One sensor's window."""
    found_1T1 = interpolated(torch.tensor(values)[None, :, None])
    return [float(value) for value in found_1T1.flatten()]


def windows(seed: int = 0) -> Tensor:
    return torch.randn(B, T, F, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, NAN, 3.0), [1.0, 2.0, 3.0]),
        ((4.0, NAN, NAN, NAN, 0.0, NAN, 2.0), [4.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0]),
    ],
)
def test_a_gap_is_filled_by_the_line_between_the_values_around_it(
    values: tuple[float, ...], expected: list[float]
) -> None:
    assert filled(*values) == expected


def test_before_its_first_and_after_its_last_value_a_sensor_stands_there() -> None:
    assert filled(NAN, NAN, 1.0, 5.0, NAN) == [1.0, 1.0, 1.0, 5.0, 5.0]
    assert filled(NAN, NAN, 7.0, NAN) == [7.0] * 4


def test_a_sensor_without_any_value_stands_at_its_mean() -> None:
    assert filled(NAN, NAN, NAN) == [0.0] * 3


@given(
    any_BTF=arrays.arrays(
        np.float32, (2, T, F), elements=st.floats(-1e6, 1e6, width=32) | st.just(NAN)
    )
)
def test_all_is_finite_within_its_sensors_range_and_what_is_there_stays_to_the_bit(
    any_BTF: FloatArray,
) -> None:
    found_BTF = interpolated(torch.from_numpy(any_BTF)).numpy()

    is_there_BTF = ~np.isnan(any_BTF)
    np.testing.assert_array_equal(found_BTF[is_there_BTF], any_BTF[is_there_BTF])
    low_BF = np.where(is_there_BTF, any_BTF, np.inf).min(axis=1, keepdims=True)
    high_BF = np.where(is_there_BTF, any_BTF, -np.inf).max(axis=1, keepdims=True)
    is_silent_BF = low_BF > high_BF
    # By the line's rounding it may lie a little beyond its ends.
    slack_BF = 1e-6 * np.where(is_silent_BF, 0.0, np.maximum(-low_BF, high_BF).clip(0.0))
    assert (np.where(is_silent_BF, 0.0, low_BF) - slack_BF <= found_BTF).all()
    assert (found_BTF <= np.where(is_silent_BF, 0.0, high_BF) + slack_BF).all()


def test_a_window_and_a_sensor_are_filled_by_their_own_values_alone() -> None:
    x_BTF = windows()
    x_BTF[torch.rand(B, T, F, generator=torch.Generator().manual_seed(1)) < 0.5] = NAN

    found_BTF = interpolated(x_BTF)

    for b in range(B):
        for f in range(F):
            assert filled(*x_BTF[b, :, f].tolist()) == found_BTF[b, :, f].tolist()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_sensor_that_is_silent_is_reconstructed_from_the_others(family: str) -> None:
    torch.manual_seed(0)
    networks = [build_network(family, NetworkShape(T, F, 8, 2, n_members=2)).eval()]
    x_BTF, observed_BTF = windows(), torch.ones(B, T, F)
    x_BTF[1, :, 2] = 0.0
    observed_BTF[1, :, 2] = 0.0
    with torch.inference_mode():
        found_BTF = with_silent_sensors(networks, x_BTF, observed_BTF)
        mended_BTF = x_BTF.clone()
        mended_BTF[1, :, 2] = networks[0].reconstruct(x_BTF[None])[:, 1, :, 2].mean(dim=0)
        newest_BF = mean_newest(networks, x_BTF, observed_BTF)
        expected_BF = networks[0].newest(mended_BTF).mean(dim=0)

    torch.testing.assert_close(found_BTF, mended_BTF)
    torch.testing.assert_close(newest_BF, expected_BF)
    others = torch.arange(B) != 1
    assert torch.equal(found_BTF[others], x_BTF[others])
    assert torch.equal(found_BTF[1, :, :2], x_BTF[1, :, :2])


def test_families_count_the_same_however_many_members_they_have() -> None:
    torch.manual_seed(0)
    one, two = (build_network("ae", NetworkShape(T, F, 8, 2, n)).eval() for n in (1, 3))
    silent_BTF = torch.zeros(B, T, F)
    with torch.inference_mode():
        found_BTF = with_silent_sensors([one, two], silent_BTF, silent_BTF)
        means = [each.reconstruct(silent_BTF[None]).mean(dim=0) for each in (one, two)]

    torch.testing.assert_close(found_BTF, (means[0] + means[1]) / 2)


def test_a_sensor_with_one_value_left_is_not_silent() -> None:
    torch.manual_seed(0)
    networks = [build_network("ae", NetworkShape(T, F, 8, 2)).eval()]
    x_BTF, observed_BTF = windows(), torch.zeros(B, T, F)
    observed_BTF[:, 2] = 1.0

    assert torch.equal(with_silent_sensors(networks, x_BTF, observed_BTF), x_BTF)
