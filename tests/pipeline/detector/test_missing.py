"""Missing values raise no false alarms: with a small detector that has learned."""

import numpy as np
import pytest
import torch

from pipeline.detector.detector import Detector, scaled, unit_threshold
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import default_shape
from pipeline.detector.scaler import Scaler
from pipeline.records import BoolArray, FloatArray
from tests.builders import SENSORS, sensor_series, windows_of

LENGTH = 16
N_VALUES = LENGTH * len(SENSORS)
SHARE_OVER = 0.02
"""Of whole normal windows, by the choice of the threshold."""


def normal_windows() -> FloatArray:
    """Windows of sensors whose noise is about as large as what they have in common."""
    values_NF = sensor_series(5_000)
    noise_NF = np.random.default_rng(5).normal(size=values_NF.shape)
    spread_F = 0.5 * values_NF.std(axis=0)
    return windows_of((values_NF + spread_F * noise_NF).astype(np.float32), LENGTH)


def trained(family: str, training_BTF: FloatArray) -> Detector:
    scaler = Scaler.fit(training_BTF.reshape(-1, len(SENSORS)))
    torch.manual_seed(0)
    network = build_network(family, default_shape(LENGTH, len(SENSORS)))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    x_BTF, observed_BTF = scaled(torch.from_numpy(training_BTF), scaler)
    for _ in range(500):
        index = torch.randint(len(x_BTF), (128,))
        optimizer.zero_grad()
        loss = network.loss(x_BTF[index], observed_BTF[index], 1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return unit_threshold(SENSORS, network.eval(), scaler)


def observed(n_observed: int, n_windows: int) -> BoolArray:
    """So many values of each window, anywhere in it."""
    random = np.random.default_rng(1)
    ranks = random.permuted(np.tile(np.arange(N_VALUES), (n_windows, 1)), axis=1)
    return (ranks < n_observed).reshape(n_windows, LENGTH, len(SENSORS))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_normal_windows_are_not_over_the_threshold_for_what_they_lack(family: str) -> None:
    windows_BTF = normal_windows()
    detector = trained(family, windows_BTF[:2_500])
    held_out_BTF = windows_BTF[2_500:]
    threshold = np.quantile(detector.score(held_out_BTF).score_B, 1 - SHARE_OVER)

    share_over = {}
    for n_observed in (1, 2, 4, 8, 12, 16, 24, 32, 40, 44, N_VALUES):
        is_observed_BTF = observed(n_observed, len(held_out_BTF))
        partial_BTF = np.where(is_observed_BTF, held_out_BTF, np.nan).astype(np.float32)
        share_over[n_observed] = float(
            (detector.score(partial_BTF).score_B > threshold).mean()
        )

    assert share_over[N_VALUES] == pytest.approx(SHARE_OVER, abs=1e-3)
    assert max(share_over.values()) < 2 * SHARE_OVER, share_over
