"""The limit of a statistic: the level that one normal reading in a thousand exceeds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector.elbo import ElboScoring
from pipeline.detector.residual import Statistic
from pipeline.detector.residual_sums import Residuals
from pipeline.records import FloatArray
from tests.trainer.residuals import fitted, normal, rows
from trainer.surprise import fit_elbo_scoring, margin, prediction_limit


def levels(statistic: Statistic, residual_BF: FloatArray) -> FloatArray:
    whole = slice(statistic.span - 1, None)
    return statistic.level(statistic.losses(Residuals(residual_BF), whole))


def test_of_about_a_thousand_normal_readings_one_exceeds_the_limit() -> None:
    scoring = fitted(rows(normal(5_000, n_sensors=80)))
    fresh_BF = normal(100_000, n_sensors=80, seed=1)

    for statistic in scoring.statistics:
        limit = statistic.limit / margin(statistic.kind, statistic.span)
        share = np.mean(levels(statistic, fresh_BF) > limit)
        assert 0.001 / 5 < share < 0.001 * 5


@pytest.mark.parametrize("n_sensors", [1, 3, 10])
@pytest.mark.parametrize("n_rows", [300, 3_000])
def test_of_few_sensors_no_more_exceed_it(n_sensors: int, n_rows: int) -> None:
    scoring = fitted(rows(normal(n_rows, n_sensors)))
    fresh_BF = normal(50_000, n_sensors, seed=1)

    for statistic in scoring.statistics:
        assert np.mean(levels(statistic, fresh_BF) > statistic.limit) < 0.001 * 5


def test_where_logarithms_are_normal_the_limit_is_the_quantile() -> None:
    level_B = np.exp(normal(100_000, 1)[:, 0])

    # The 0.999 quantile of a normal variable is 3.0902.
    assert np.log(prediction_limit(level_B, 1e6)) == pytest.approx(3.0902, abs=0.03)


def test_of_few_independent_values_it_is_as_students_t_has_it() -> None:
    # Logarithms of mean 0 and deviation 1; of 4 values, t at 0.999 is 10.2145 and the
    # next value's interval is wider by the mean's own: sqrt(4 / 3) * sqrt(1 + 1 / 4).
    level_B = np.exp(np.tile([-1.0, 1.0], 100)).astype(np.float32)

    limit = prediction_limit(level_B, 4.0)

    assert math.log(limit) == pytest.approx(10.2145 * math.sqrt(5 / 3), abs=1e-3)


def test_it_is_never_below_what_one_in_a_hundred_exceeded() -> None:
    level_B = np.ones(1_000, dtype=np.float32)
    level_B[::50] = 1e6

    assert prediction_limit(level_B, 1e6) == 1e6


def test_readings_count_as_independent_twice_a_span_apart() -> None:
    residual_BF = normal(1_000, 3)

    for statistic in fitted(rows(residual_BF)).statistics:
        level_B = levels(statistic, residual_BF)
        expected = prediction_limit(level_B, 1_000 / (2 * statistic.span))
        expected *= margin(statistic.kind, statistic.span)
        assert statistic.limit == pytest.approx(expected, rel=1e-5)


@given(
    seed=st.integers(0, 100),
    n_values=st.integers(8, 500),
    fewer=st.floats(1.0, 100.0),
    times=st.floats(1.5, 100.0),
)
def test_fewer_independent_values_never_lower_the_limit(
    seed: int, n_values: int, fewer: float, times: float
) -> None:
    level_B = np.random.default_rng(seed).gamma(2.0, size=n_values).astype(np.float32)

    by_fewer = prediction_limit(level_B, fewer)

    assert by_fewer >= prediction_limit(level_B, fewer * times)
    assert by_fewer >= np.quantile(level_B, 0.99)


def test_a_short_history_of_a_slow_statistic_has_a_higher_limit() -> None:
    level_B = np.random.default_rng(0).gamma(2.0, size=500).astype(np.float32)

    limits = [prediction_limit(level_B, n) for n in (1000.0, 100.0, 30.0, 10.0, 3.0)]

    assert limits == sorted(set(limits))


def test_a_limit_is_above_0_and_finite_whatever_the_levels() -> None:
    for level_B in (np.zeros(8), np.array([0.0] * 7 + [1e30]), np.full(8, 1e30)):
        assert 0.0 < prediction_limit(level_B.astype(np.float32), 0.1) < np.inf


@pytest.mark.parametrize("has_kl", [True, False])
def test_an_elbo_has_the_limit_of_its_parts_together(has_kl: bool) -> None:
    measure_BC = np.random.default_rng(0).gamma(2.0, size=(640, 4)).astype(np.float32)

    scoring = fit_elbo_scoring(measure_BC, has_kl, window=8)

    limit = prediction_limit(measure_BC.sum(axis=1), 640 / 16)
    assert scoring == ElboScoring(has_kl, limit)
