"""Missing values raise no false alarms: with small detectors that have learned."""

from functools import cache

import numpy as np
import pytest
import torch

from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES, VARIATIONAL, build_network
from pipeline.detector.filling import filled
from pipeline.detector.network import Network, default_shape
from pipeline.detector.residual import ResidualScoring, Statistic
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.detector.scoring import Scoring
from pipeline.records import BoolArray, FloatArray
from tests.builders import SENSORS, as_windows, residual_scoring, sensor_series, windows_of

LENGTH = 16
F = len(SENSORS)
N_VALUES = LENGTH * F
SHARE_OVER = 0.02
"""Of whole normal windows, by the choice of the threshold."""
ELBO = ElboScoring(has_kl=True, limit=1.0)
RECONSTRUCTION = ElboScoring(has_kl=False, limit=1.0)

each_family = pytest.mark.parametrize("family", sorted(FAMILIES))


@cache
def normal_windows() -> tuple[FloatArray, FloatArray]:
    """Windows to train on, and others, of sensors whose noise is about as large as what
    they have in common."""
    values_NF = sensor_series(5_000)
    noise_NF = np.random.default_rng(5).normal(size=values_NF.shape)
    spread_F = 0.5 * values_NF.std(axis=0)
    noisy_NF = (values_NF + spread_F * noise_NF).astype(np.float32)
    windows_BTF = windows_of(noisy_NF, LENGTH)
    return windows_BTF[:2_500], windows_BTF[2_500:]


@cache
def trained(family: str) -> tuple[Network, Scaling]:
    training_BTF, _ = normal_windows()
    scaling = Scaling(Scaler.fit(training_BTF.reshape(-1, F)))
    torch.manual_seed(0)
    network = build_network(family, default_shape(LENGTH, F)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    x_BTF, observed_BTF = filled(torch.from_numpy(scaling.scaled(training_BTF)))
    for _ in range(500):
        index_1B = torch.randint(len(x_BTF), (1, 128))
        optimizer.zero_grad()
        loss_M = network.loss(x_BTF[index_1B], observed_BTF[index_1B], 1.0)
        loss_M.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval(), scaling


def burst(family: str) -> ResidualScoring:
    """Scores by residuals in multiples of what is usual for each sensor."""
    network, scaling = trained(family)
    detector = Detector(SENSORS, (network,), scaling, residual_scoring(), 1.0)
    scale_F = detector.measure(as_windows(normal_windows()[1])).measure_BC.std(axis=0)
    statistic = Statistic("burst", 1, scale_F, np.zeros_like(scale_F), 1.0)
    return ResidualScoring(np.ones_like(scale_F), np.full(F, True), (statistic,))


def share_over(family: str, scoring: Scoring, is_observed_BTF: BoolArray) -> float:
    """The share of normal windows over the threshold, with these values left in them."""
    network, scaling = trained(family)
    detector = Detector(SENSORS, (network,), scaling, scoring, threshold=1.0)
    _, held_out_BTF = normal_windows()
    threshold = np.quantile(scores(detector, held_out_BTF), 1 - SHARE_OVER)
    partial_BTF = np.where(is_observed_BTF, held_out_BTF, np.nan).astype(np.float32)
    return float((scores(detector, partial_BTF) > threshold).mean())


def scores(detector: Detector, windows_BTF: FloatArray) -> FloatArray:
    """Each window's score, of a unit of its own."""
    measures = detector.measure(as_windows(windows_BTF))
    row_B = np.arange(len(windows_BTF))
    return detector.score(measures, row_B, len(row_B), detector.memory()).score_B


def anywhere(n_observed: int) -> BoolArray:
    """So many values of each window, anywhere in it."""
    n_windows = len(normal_windows()[1])
    random = np.random.default_rng(1)
    ranks = random.permuted(np.tile(np.arange(N_VALUES), (n_windows, 1)), axis=1)
    return (ranks < n_observed).reshape(n_windows, LENGTH, F)


def without_sensor(sensor: int) -> BoolArray:
    is_observed_TF = np.full((LENGTH, F), True)
    is_observed_TF[:, sensor] = False
    return is_observed_TF


@each_family
def test_of_whole_windows_as_many_are_over_as_the_threshold_lets(family: str) -> None:
    whole = share_over(family, burst(family), anywhere(N_VALUES))

    assert whole == pytest.approx(SHARE_OVER, abs=1e-3)


@each_family
@pytest.mark.parametrize("n_observed", [24, 32, 40, 44])
def test_residuals_of_windows_that_are_half_there_are_not_over_for_what_they_lack(
    n_observed: int, family: str
) -> None:
    assert share_over(family, burst(family), anywhere(n_observed)) < 2 * SHARE_OVER


@each_family
def test_a_reading_that_is_missing_does_not_put_the_next_one_over(family: str) -> None:
    is_observed_TF = np.full((LENGTH, F), True)
    is_observed_TF[-2] = False

    assert share_over(family, burst(family), is_observed_TF) < 2 * SHARE_OVER


@each_family
@pytest.mark.parametrize("n_silent", [4, 8, 12])
def test_a_silence_of_all_sensors_does_not_put_the_reading_after_it_over(
    n_silent: int, family: str
) -> None:
    is_observed_TF = np.full((LENGTH, F), True)
    is_observed_TF[-1 - n_silent : -1] = False

    assert share_over(family, burst(family), is_observed_TF) < 2 * SHARE_OVER


@each_family
@pytest.mark.parametrize("sensor", range(F))
def test_no_network_minds_a_sensor_that_is_missing_throughout(
    sensor: int, family: str
) -> None:
    assert share_over(family, burst(family), without_sensor(sensor)) < SHARE_OVER


@pytest.mark.parametrize("n_observed", [1, 2, 4, 8, 12, 16, 24, 32, 40, 44])
@pytest.mark.parametrize("scoring", [ELBO, RECONSTRUCTION])
@pytest.mark.parametrize("family", VARIATIONAL)
def test_whole_windows_are_not_over_for_what_they_lack_however_much_that_is(
    family: str, scoring: ElboScoring, n_observed: int
) -> None:
    assert share_over(family, scoring, anywhere(n_observed)) < 2 * SHARE_OVER
