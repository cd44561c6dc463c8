"""Windows to scores: what holds for every model family and every way of scoring."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.records import FloatArray
from tests import builders
from tests.builders import SENSORS, as_windows, residual_scoring, sensor_series, windows_of

LENGTH = 8
F32_MAX = float(np.finfo(np.float32).max)
RESIDUAL = residual_scoring(("burst", 1), ("shift", 4), ("burst", 8))
ELBO = ElboScoring(has_kl=True, limit=20.0)
KINDS = [
    *((family, RESIDUAL) for family in sorted(FAMILIES)),
    ("vae+conv+dae", RESIDUAL),
    *((family, ELBO) for family in VARIATIONAL),
]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{type(kind[1]).__name__}")
def detector(request: pytest.FixtureRequest) -> Detector:
    families, scoring = request.param
    return builders.detector(families, LENGTH, scoring=scoring)


@pytest.fixture
def values_NF() -> FloatArray:  # noqa: N802 - a shape suffix, as everywhere
    return sensor_series(60)


def test_scores_are_multiples_of_the_threshold(
    detector: Detector, values_NF: FloatArray
) -> None:
    surprise_B = replace(detector, threshold=1.0).score_series(values_NF).score_B

    score_B = replace(detector, threshold=4.0).score_series(values_NF).score_B

    assert (score_B > 0).all()
    np.testing.assert_array_equal(score_B, surprise_B / 4.0)


def test_the_same_readings_have_the_same_scores_to_the_bit(
    detector: Detector, values_NF: FloatArray
) -> None:
    first = detector.score_series(values_NF)
    torch.manual_seed(99)

    for column, again in zip(first, detector.score_series(values_NF), strict=True):
        np.testing.assert_array_equal(column, again)


def test_a_window_has_one_measure_wherever_in_a_batch_it_stands(
    detector: Detector, values_NF: FloatArray
) -> None:
    windows_BTF = windows_of(values_NF, LENGTH)
    at_once_BC = detector.measure(as_windows(windows_BTF)).measure_BC

    one_by_one = [
        detector.measure(as_windows(window_TF[None])) for window_TF in windows_BTF
    ]
    reversed_BC = detector.measure(as_windows(windows_BTF[::-1].copy())).measure_BC[::-1]

    one_by_one_BC = np.concatenate([measures.measure_BC for measures in one_by_one])
    np.testing.assert_allclose(one_by_one_BC, at_once_BC, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reversed_BC, at_once_BC, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part_values", [1, 50])
def test_scores_do_not_depend_on_how_many_windows_are_worked_on_at_a_time(
    part_values: int,
    detector: Detector,
    values_NF: FloatArray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = detector.score_series(values_NF)

    monkeypatch.setattr("pipeline.detector.detector.PART_VALUES", part_values)

    for column, again in zip(at_once, detector.score_series(values_NF), strict=True):
        np.testing.assert_array_equal(column, again)


def test_contributions_are_shares(detector: Detector, values_NF: FloatArray) -> None:
    contribution_BF = detector.score_series(values_NF).contribution_BF

    assert contribution_BF.shape == (len(values_NF) - LENGTH + 1, len(SENSORS))
    assert (contribution_BF >= 0).all()
    np.testing.assert_allclose(contribution_BF.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("sensor", range(len(SENSORS)))
def test_the_largest_contribution_is_that_of_the_sensor_that_jumped(
    sensor: int, detector: Detector, values_NF: FloatArray
) -> None:
    before_B = detector.score_series(values_NF).score_B
    values_NF[-1, sensor] += 50 * detector.scaling.pooled.scale_F[sensor]

    scores = detector.score_series(values_NF)

    assert scores.contribution_BF[-1].argmax() == sensor
    assert scores.score_B[-1] > before_B[-1]
    np.testing.assert_allclose(scores.score_B[:-1], before_B[:-1], rtol=1e-4)


def test_observed_and_expected_are_in_the_sensors_own_units(
    detector: Detector, values_NF: FloatArray
) -> None:
    scores = detector.score_series(values_NF)

    np.testing.assert_array_equal(scores.observed_BF, values_NF[LENGTH - 1 :])
    # An untrained network expects something near the mean: within a few deviations.
    distance_BF = (
        scores.expected_BF - detector.scaling.pooled.mean_F
    ) / detector.scaling.pooled.scale_F
    assert np.abs(distance_BF).max() < 10


def test_a_sensor_in_another_unit_changes_its_values_and_nothing_else(
    detector: Detector, values_NF: FloatArray
) -> None:
    factor_F = np.array([1024.0, 1.0, 0.125], np.float32)
    mean_F, scale_F = detector.scaling.pooled.mean_F, detector.scaling.pooled.scale_F
    in_other_units = replace(
        detector, scaling=Scaling(Scaler(mean_F * factor_F, scale_F * factor_F))
    )

    scores = detector.score_series(values_NF)
    others = in_other_units.score_series(values_NF * factor_F)

    np.testing.assert_allclose(others.score_B, scores.score_B, rtol=1e-5)
    np.testing.assert_allclose(others.expected_BF, scores.expected_BF * factor_F, rtol=1e-4)


def test_a_missing_value_is_held_against_no_one(
    detector: Detector, values_NF: FloatArray
) -> None:
    values_NF[-1, 1] = math.nan

    scores = detector.score_series(values_NF)

    assert np.isfinite(scores.score_B).all()
    assert math.isnan(scores.observed_BF[-1, 1])
    assert np.isfinite(scores.expected_BF).all()


def test_after_its_last_value_a_sensor_is_taken_to_stay_there(detector: Detector) -> None:
    held_NF = sensor_series(LENGTH)
    held_NF[4:, 0] = held_NF[3, 0]
    missing_NF = held_NF.copy()
    missing_NF[4:, 0] = math.nan

    found_BF = detector.score_series(missing_NF).expected_BF

    expected_BF = detector.score_series(held_NF).expected_BF
    np.testing.assert_allclose(found_BF, expected_BF, rtol=1e-5)


def test_a_gap_is_taken_as_the_line_between_the_values_around_it(
    detector: Detector,
) -> None:
    line_NF = sensor_series(LENGTH)
    line_NF[2:6, 0] = np.linspace(line_NF[2, 0], line_NF[5, 0], 4)
    missing_NF = line_NF.copy()
    missing_NF[3:5, 0] = math.nan

    found_BF = detector.score_series(missing_NF).expected_BF

    expected_BF = detector.score_series(line_NF).expected_BF
    np.testing.assert_allclose(found_BF, expected_BF, rtol=1e-5)


def test_a_sensor_that_is_missing_throughout_contributes_nothing(
    detector: Detector, values_NF: FloatArray
) -> None:
    values_NF[:, 2] = math.nan

    scores = detector.score_series(values_NF)

    assert (scores.contribution_BF[:, 2] == 0).all()
    np.testing.assert_allclose(scores.contribution_BF.sum(axis=1), 1.0, rtol=1e-5)


def test_readings_without_any_value_have_no_contributions(detector: Detector) -> None:
    scores = detector.score_series(np.full((20, len(SENSORS)), math.nan, np.float32))

    assert np.isfinite(scores.score_B).all()
    assert (scores.contribution_BF == 0).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    any_NF=arrays.arrays(
        np.float32,
        (LENGTH + 7, len(SENSORS)),
        elements=st.floats(width=32, allow_infinity=False, allow_nan=True)
        | st.sampled_from([F32_MAX, -F32_MAX]),
    )
)
def test_any_readings_at_all_have_finite_scores(
    any_NF: FloatArray, detector: Detector
) -> None:
    scores = detector.score_series(any_NF)

    for column in (scores.score_B, scores.contribution_BF, scores.expected_BF):
        assert np.isfinite(column).all()
    assert (scores.score_B >= 0).all()
    assert (scores.contribution_BF.sum(axis=1) <= 1 + 1e-5).all()


def test_a_sensor_at_the_end_of_its_range_has_a_finite_expectation() -> None:
    half_range_F = np.array([F32_MAX / 2] * len(SENSORS), np.float32)
    detector = replace(
        builders.detector(), scaling=Scaling(Scaler(half_range_F, half_range_F))
    )
    with torch.no_grad():
        for parameter in detector.networks[0].parameters():
            parameter.fill_(1.0)  # it expects far more than it ever saw

    scores = detector.score_series(np.full((LENGTH, len(SENSORS)), F32_MAX, np.float32))

    assert np.isfinite(scores.expected_BF).all()


def test_no_windows_have_no_scores(detector: Detector) -> None:
    measures = detector.measure(as_windows(np.empty((0, LENGTH, len(SENSORS)), np.float32)))

    scores = detector.score(measures, np.empty(0, np.int64), 0, detector.memory())

    assert [len(column) for column in scores] == [0] * 5


@pytest.mark.parametrize("shape", [(1, 7, 3), (1, 8, 2), (1, 3, 8)])
def test_windows_of_another_shape_are_refused(
    shape: tuple[int, ...], detector: Detector
) -> None:
    with pytest.raises(ValueError, match=r"the detector takes \(8, 3\)"):
        detector.measure(as_windows(np.zeros(shape, np.float32)))


def test_measures_do_not_keep_the_windows_in_memory(
    detector: Detector, values_NF: FloatArray
) -> None:
    windows_BTF = windows_of(values_NF, LENGTH)

    measures = detector.measure(as_windows(windows_BTF))

    assert not any(np.shares_memory(column, windows_BTF) for column in measures)
