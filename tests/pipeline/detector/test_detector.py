"""Windows to scores: what holds for every model family."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.detector.detector import Detector, unit_threshold
from pipeline.detector.families import FAMILIES
from pipeline.detector.scaler import Scaler
from pipeline.records import FloatArray
from tests import builders
from tests.builders import SENSORS, sensor_series, windows_of

LENGTH = 8
F32_MAX = float(np.finfo(np.float32).max)


@pytest.fixture(params=sorted(FAMILIES))
def detector(request: pytest.FixtureRequest) -> Detector:
    return builders.detector(request.param, LENGTH)


@pytest.fixture
def windows_BTF() -> FloatArray:  # noqa: N802 - a shape suffix, as everywhere
    return windows_of(sensor_series(60), LENGTH)


def test_a_score_is_the_networks_error_in_thresholds(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    uncalibrated = unit_threshold(SENSORS, detector.network, detector.scaler)
    x_BTF = torch.from_numpy(
        (windows_BTF - detector.scaler.mean_F) / detector.scaler.scale_F
    )

    error_B = uncalibrated.score(windows_BTF).score_B

    with torch.inference_mode():
        errors = detector.network.errors(x_BTF, torch.ones_like(x_BTF))
    network_error_B = errors.sensor_BF.sum(dim=1) + errors.rest_B
    np.testing.assert_allclose(error_B, network_error_B, rtol=1e-4)
    score_B = replace(detector, threshold=4.0).score(windows_BTF).score_B
    np.testing.assert_allclose(score_B, error_B / 4.0, rtol=1e-6)
    assert (score_B > 0).all()


def test_the_same_windows_have_the_same_scores_to_the_bit(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    first = detector.score(windows_BTF)
    torch.manual_seed(99)

    for column, again in zip(first, detector.score(windows_BTF), strict=True):
        np.testing.assert_array_equal(column, again)


def test_a_window_has_one_score_wherever_in_a_batch_it_stands(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    at_once_B = detector.score(windows_BTF).score_B

    one_by_one_B = [detector.score(windows_BTF[b : b + 1]).score_B[0] for b in range(53)]
    reversed_B = detector.score(windows_BTF[::-1].copy()).score_B[::-1]

    np.testing.assert_allclose(one_by_one_B, at_once_B, rtol=1e-4)
    np.testing.assert_allclose(reversed_B, at_once_B, rtol=1e-4)


def test_contributions_are_shares(detector: Detector, windows_BTF: FloatArray) -> None:
    contribution_BF = detector.score(windows_BTF).contribution_BF

    assert contribution_BF.shape == (len(windows_BTF), len(SENSORS))
    assert (contribution_BF >= 0).all()
    np.testing.assert_allclose(contribution_BF.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("sensor", range(len(SENSORS)))
def test_the_largest_contribution_is_that_of_the_sensor_that_jumped(
    sensor: int, detector: Detector, windows_BTF: FloatArray
) -> None:
    before_B = detector.score(windows_BTF).score_B
    windows_BTF[:, -1, sensor] += 50 * detector.scaler.scale_F[sensor]

    scores = detector.score(windows_BTF)

    assert (scores.contribution_BF.argmax(axis=1) == sensor).all()
    assert (scores.score_B > before_B).all()


def test_observed_and_expected_are_in_the_sensors_own_units(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    scores = detector.score(windows_BTF)

    np.testing.assert_array_equal(scores.observed_BF, windows_BTF[:, -1])
    # An untrained network expects something near the mean: within a few deviations.
    distance_BF = (scores.expected_BF - detector.scaler.mean_F) / detector.scaler.scale_F
    assert np.abs(distance_BF).max() < 10


def test_a_sensor_in_another_unit_changes_its_values_and_nothing_else(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    factor_F = np.array([1024.0, 1.0, 0.125], np.float32)
    in_other_units = replace(
        detector,
        scaler=Scaler(
            detector.scaler.mean_F * factor_F, detector.scaler.scale_F * factor_F
        ),
    )

    scores = detector.score(windows_BTF)
    others = in_other_units.score(windows_BTF * factor_F)

    np.testing.assert_allclose(others.score_B, scores.score_B, rtol=1e-5)
    np.testing.assert_allclose(others.expected_BF, scores.expected_BF * factor_F, rtol=1e-4)


def test_a_missing_value_is_taken_as_the_one_before_and_held_against_no_one(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    windows_BTF[:, -1, 1] = math.nan

    scores = detector.score(windows_BTF)

    assert np.isfinite(scores.score_B).all()
    assert np.isnan(scores.observed_BF[:, 1]).all()
    assert np.isfinite(scores.expected_BF).all()


def test_what_came_before_a_value_went_missing_does_not_matter_twice(
    detector: Detector,
) -> None:
    held = windows_of(sensor_series(LENGTH), LENGTH)
    held[:, 4:, 0] = held[:, 3:4, 0]
    missing = held.copy()
    missing[:, 4:, 0] = math.nan

    expected_BF = detector.score(held).expected_BF

    np.testing.assert_allclose(detector.score(missing).expected_BF, expected_BF, rtol=1e-5)


def test_a_sensor_that_is_missing_throughout_contributes_nothing(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    windows_BTF[:, :, 2] = math.nan

    scores = detector.score(windows_BTF)

    assert (scores.contribution_BF[:, 2] == 0).all()
    np.testing.assert_allclose(scores.contribution_BF.sum(axis=1), 1.0, rtol=1e-5)


def test_a_window_without_any_value_has_no_contributions(detector: Detector) -> None:
    scores = detector.score(np.full((2, LENGTH, len(SENSORS)), math.nan, np.float32))

    assert np.isfinite(scores.score_B).all()
    assert (scores.contribution_BF == 0).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    window_BTF=arrays.arrays(
        np.float32,
        (2, LENGTH, len(SENSORS)),
        elements=st.floats(width=32, allow_infinity=False, allow_nan=True)
        | st.sampled_from([F32_MAX, -F32_MAX]),
    )
)
def test_any_readings_at_all_have_finite_scores(
    window_BTF: FloatArray, detector: Detector
) -> None:
    scores = detector.score(window_BTF)

    for column in (scores.score_B, scores.contribution_BF, scores.expected_BF):
        assert np.isfinite(column).all()
    assert (scores.score_B >= 0).all()
    assert (scores.contribution_BF.sum(axis=1) <= 1 + 1e-5).all()


def test_a_sensor_at_the_end_of_its_range_has_a_finite_expectation() -> None:
    half_range = np.array([F32_MAX / 2] * len(SENSORS), np.float32)
    detector = replace(
        builders.detector("ae", LENGTH), scaler=Scaler(half_range, half_range)
    )
    with torch.no_grad():
        for parameter in detector.network.parameters():
            parameter.fill_(1.0)  # it expects far more than it ever saw

    scores = detector.score(np.full((1, LENGTH, len(SENSORS)), F32_MAX, np.float32))

    assert np.isfinite(scores.expected_BF).all()


def test_no_windows_have_no_scores(detector: Detector) -> None:
    scores = detector.score(np.empty((0, LENGTH, len(SENSORS)), np.float32))

    assert [len(column) for column in scores] == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(1, 7, 3), (1, 8, 2), (8, 3), (1, 3, 8)])
def test_windows_of_another_shape_are_refused(
    shape: tuple[int, ...], detector: Detector
) -> None:
    with pytest.raises(ValueError, match=r"the detector takes \(8, 3\)"):
        detector.score(np.zeros(shape, np.float32))


def test_scores_do_not_keep_the_windows_in_memory(
    detector: Detector, windows_BTF: FloatArray
) -> None:
    scores = detector.score(windows_BTF)

    assert not any(np.shares_memory(column, windows_BTF) for column in scores)
