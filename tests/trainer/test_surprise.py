"""How residuals are scored: fitted on held-out rows alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.residuals import fitted, normal, rows
from trainer.surprise import (
    STATISTICS,
    drift,
    explained,
    fit_residual_scoring,
    trust,
)


def test_what_is_explained_is_trusted_and_noise_is_not() -> None:
    observed_BF = normal(2_000, 4)
    noise_BF = normal(2_000, 4, seed=1)
    # Perfect, of half the size, pure noise, and the wrong way round.
    expected_BF = observed_BF * np.array([1.0, 0.5, 0.0, -1.0], dtype=np.float32)
    expected_BF[:, 2] = noise_BF[:, 2]

    trust_F = trust(rows(observed_BF, expected_BF))

    np.testing.assert_allclose(trust_F, [1.0, 1.0, 0.0, 0.0], atol=0.05)


def test_an_expectation_that_goes_too_far_is_trusted_in_part() -> None:
    observed_BF = normal(200, 1)
    assert trust(rows(observed_BF, 4.0 * observed_BF)) == pytest.approx(0.25)


def test_what_was_not_measured_says_nothing_of_trust() -> None:
    observed_BF = normal(200, 2)
    expected_BF = observed_BF.copy()
    is_observed_BF = np.ones(observed_BF.shape, dtype=np.bool_)
    is_observed_BF[::2] = False
    expected_BF[::2] = -9.0

    found = rows(observed_BF, expected_BF)._replace(is_observed_BF=is_observed_BF)

    np.testing.assert_allclose(trust(found), 1.0, atol=1e-6)


def test_the_share_explained_is_of_the_scored_sensors_variance() -> None:
    observed_BF = normal(5_000, 3)
    expected_BF = observed_BF * np.array([1.0, 0.0, 0.0], dtype=np.float32)
    found = rows(observed_BF, expected_BF)
    scoring = fitted(found)

    assert explained(found, scoring) == pytest.approx(1 / 3, abs=0.02)
    two_alone = replace(scoring, is_scored_F=np.array([True, True, False]))
    assert explained(found, two_alone) == pytest.approx(1 / 2, abs=0.02)


def test_drift_is_near_1_for_what_wanders_and_near_0_for_noise() -> None:
    noise_NF = normal(4_000, 3)
    observed_NF = noise_NF.copy()
    observed_NF[:, 1] = np.cumsum(noise_NF[:, 1])
    observed_NF[:, 2] = np.linspace(0.0, 100.0, 4_000)

    drift_F = drift(observed_NF, np.zeros(4_000, dtype=np.int64))

    assert drift_F[0] < 0.01
    assert (drift_F[1:] > 0.5).all()
    assert (drift_F <= 1.0).all()


def test_units_of_different_levels_do_not_drift() -> None:
    observed_NF = normal(2_000, 1)
    observed_NF[1_000:] += 50.0

    drift_F = drift(observed_NF, np.repeat([0, 1], 1_000))

    assert drift_F < 0.02


def test_units_too_short_for_blocks_say_nothing_of_drift() -> None:
    assert drift(normal(14, 2), np.repeat([0, 1], 7)).tolist() == [0.0, 0.0]


def test_a_drifting_sensor_is_discounted_but_not_lost() -> None:
    observed_BF = normal(3_000, 2)
    scoring = fitted(rows(observed_BF), drift_F=[0.0, 0.5])

    scores = []
    for sensor in (0, 1):
        faulty_BF = observed_BF[:200].copy()
        faulty_BF[100:, sensor] += 12.0
        surprise = scoring.surprise(faulty_BF, np.array([199]), np.array([199]))
        assert surprise.share_BF[0].argmax() == sensor
        scores.append(float(surprise.score_B[0]))

    steady, drifting = scores
    assert steady > 2 * drifting > 0.0


def test_a_little_drift_is_tolerated() -> None:
    found = rows(normal(500, 2))

    little, none = fitted(found, drift_F=[0.1, 0.05]), fitted(found)

    for one, other in zip(little.statistics, none.statistics, strict=True):
        np.testing.assert_array_equal(one.scale_F, other.scale_F)


def test_normal_residuals_have_a_scale_of_their_own_size() -> None:
    sizes_F = np.array([0.1, 1.0, 30.0], dtype=np.float32)

    for statistic in fitted(rows(sizes_F * normal(20_000, 3))).statistics:
        shrinking = np.sqrt(statistic.span) if statistic.kind == "shift" else 1.0
        np.testing.assert_allclose(statistic.scale_F, sizes_F / shrinking, rtol=0.1)
        assert (statistic.typical_F > 0.0).all()


def test_a_mean_over_readings_of_two_series_does_not_count() -> None:
    # Series of 8 at 1 and at -1 in turns: means over two of them would be smaller.
    observed_BF = np.repeat(np.tile([1.0, -1.0], 50), 8)[:, None].astype(np.float32)

    scales = {
        (s.kind, s.span): float(s.scale_F[0])
        for s in fitted(rows(observed_BF, series_rows=8)).statistics
    }

    assert scales["shift", 4] == pytest.approx(1.0, abs=1e-3)


def test_a_sensor_that_is_perfectly_known_still_has_a_scale() -> None:
    observed_BF = normal(500, 2)

    for statistic in fitted(rows(observed_BF, observed_BF)).statistics:
        assert (statistic.scale_F >= 0.003).all()
        assert np.isfinite(statistic.limit)


def test_sensors_that_are_context_have_no_part_in_the_statistics() -> None:
    observed_BF = normal(500, 3)
    is_scored_F = np.array([True, False, True])

    scoring = fit_residual_scoring(
        rows(observed_BF), is_scored_F, np.zeros(3, np.float32), max_span=32
    )

    assert scoring.is_scored_F.tolist() == is_scored_F.tolist()
    assert all(len(s.scale_F) == len(s.typical_F) == 2 for s in scoring.statistics)


@pytest.mark.parametrize(
    ("series_rows", "spans"), [(3, {1}), (4, {1, 4}), (8, {1, 4, 8}), (32, {1, 4, 8, 32})]
)
def test_statistics_that_the_history_is_too_short_for_are_left_out(
    series_rows: int, spans: set[int]
) -> None:
    found = fitted(rows(normal(16 * series_rows, 2), series_rows=series_rows))

    assert [(s.kind, s.span) for s in found.statistics] == [
        (kind, span) for kind, span in STATISTICS if span in spans
    ]


@pytest.mark.parametrize(
    ("max_span", "spans"),
    [(1, {1}), (3, {1}), (7, {1, 4}), (8, {1, 4, 8}), (100, {1, 4, 8, 32})],
)
def test_no_time_scale_is_longer_than_asked(max_span: int, spans: set[int]) -> None:
    observed_BF = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)

    scoring = fitted(rows(observed_BF), max_span=max_span)

    assert {statistic.span for statistic in scoring.statistics} == spans
    assert scoring.n_memory == max(spans) - 1


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_a_sensor_that_was_mostly_missing_may_be_there_all_the_time(share: float) -> None:
    observed_BF = normal(4_000, n_sensors=3)
    is_observed_BF = np.full(observed_BF.shape, True)
    is_observed_BF[:, 1] = np.random.default_rng(1).random(len(observed_BF)) < share
    partial = rows(np.where(is_observed_BF, observed_BF, 0.0).astype(np.float32))

    sparse = fitted(partial._replace(is_observed_BF=is_observed_BF))

    complete = fitted(rows(observed_BF))
    for found, expected in zip(sparse.statistics, complete.statistics, strict=True):
        np.testing.assert_allclose(found.scale_F, expected.scale_F, rtol=0.15)
