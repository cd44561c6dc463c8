"""The threshold where a history is too short to count false alarms at the rate asked."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.records import FloatArray
from pipeline.trigger import IncidentRule
from tests.trainer.training import STEP_S, held_out_scores
from trainer.calibrate import (
    DAY_S,
    EXTRAPOLATED,
    LIMIT,
    MAX_EXTRAPOLATION,
    MAX_PEAKS,
    NORMAL_LIMIT,
    by_tail,
    calibrate,
    count_incidents,
    highest_peaks,
)

N_HISTORY, N_FRESH, N_SEEDS = 4_000, 40_000, 40
ALONE = IncidentRule(n_over=1, n_last=1, n_recovery=1)
USUAL = IncidentRule(2, 3, 30)


def exponential(n: int, seed: int) -> FloatArray:
    """Noise whose tail falls off e-fold each 0.4."""
    return (0.4 * np.random.default_rng(seed).exponential(size=n)).astype(np.float32)


def power_law(n: int, seed: int) -> FloatArray:
    """Noise whose logarithm has an exponential tail."""
    return np.asarray(np.exp(exponential(n, seed) / 2.0))


def promised_and_observed(
    noise: Callable[[int, int], FloatArray], rule: IncidentRule, n_asked: float
) -> tuple[float, float]:
    """Incidents a history long, promised and seen on fresh noise: means over seeds."""
    days = (N_HISTORY - 1) * STEP_S / DAY_S
    promised, observed = [], []
    for seed in range(N_SEEDS):
        history = held_out_scores(noise(N_HISTORY, seed))
        found = calibrate(history, rule, n_asked / days)
        assert found.method == EXTRAPOLATED
        promised.append(found.expected_per_day * days)
        fresh = held_out_scores(noise(N_FRESH, 1_000 + seed))
        n = count_incidents(fresh.score_B, fresh.series_B, found.threshold, rule)
        observed.append(n * N_HISTORY / N_FRESH)
    return float(np.mean(promised)), float(np.mean(observed))


@pytest.mark.parametrize("n_asked", [1.0, 3.0, 9.0])
def test_of_exponential_noise_the_rate_is_as_promised(n_asked: float) -> None:
    promised, observed = promised_and_observed(exponential, ALONE, n_asked)

    assert promised == pytest.approx(n_asked)
    assert promised / 2 < observed < promised * 2


@pytest.mark.parametrize("n_asked", [0.1, 0.3, 1.0, 3.0, 9.0])
def test_of_a_power_law_it_is_as_promised_even_beyond_the_history(n_asked: float) -> None:
    promised, observed = promised_and_observed(power_law, ALONE, n_asked)

    assert promised == pytest.approx(n_asked)
    assert promised / 2 < observed < promised * 2


@pytest.mark.parametrize("n_asked", [1.0, 9.0])
def test_by_the_usual_rule_no_more_than_promised(n_asked: float) -> None:
    promised, observed = promised_and_observed(power_law, USUAL, n_asked)

    assert promised / 4 < observed < promised * 1.5


@pytest.mark.parametrize("beyond", [1.0, 10.0, 1e6])
def test_beyond_the_longest_extrapolation_nothing_rarer_is_promised(
    beyond: float,
) -> None:
    history = held_out_scores(10.0 * power_law(N_HISTORY, 0))
    rarest = 1.0 / MAX_EXTRAPOLATION / history.unit_days()
    at_most = calibrate(history, ALONE, rarest)

    found = calibrate(history, ALONE, rarest / beyond)

    assert found.method == EXTRAPOLATED
    assert found.threshold == at_most.threshold
    assert found.expected_per_day == pytest.approx(rarest)
    assert found.limited_by == "history"


def test_without_peaks_the_threshold_is_the_limit_of_normal_readings() -> None:
    # Two days: at one a day too short to count, and nothing stands out.
    found = calibrate(held_out_scores(np.full(289, 0.3, np.float32)), USUAL, 1.0)

    assert (found.method, found.threshold) == (LIMIT, NORMAL_LIMIT)
    # The mean of what none in two days leaves to expect, by Jeffreys' prior.
    assert (found.n_false_alarms, found.expected_per_day) == (0, 0.25)
    assert found.at_most_per_day == pytest.approx(2.9957 / 2, rel=1e-3)
    # Scores without a peak make no incident, however long the history.
    assert found.limited_by == "scores"


def test_with_few_peaks_it_is_the_limit_too() -> None:
    score_B = np.full(289, 0.3, np.float32)
    score_B[20:289:60] = 4.0

    found = calibrate(held_out_scores(score_B), ALONE, 1.0)

    # Two are asked of five peaks: a longer history would have enough to place the rate.
    assert (found.method, found.limited_by) == (LIMIT, "history")


def test_less_than_one_alarm_never_takes_the_threshold_below_the_limit() -> None:
    history = held_out_scores(0.01 * power_law(N_HISTORY, 0))

    rare = calibrate(history, ALONE, 0.5 / history.unit_days())
    frequent = calibrate(history, ALONE, 5.0 / history.unit_days())

    assert (rare.method, rare.threshold) == (LIMIT, NORMAL_LIMIT)
    assert frequent.method == EXTRAPOLATED
    assert frequent.threshold < NORMAL_LIMIT


@given(
    st.integers(0, 1_000),
    st.integers(20, 1_000),
    st.floats(0.01, 100.0),
    st.sampled_from([ALONE, USUAL]),
)
@example(seed=5, n=N_HISTORY, n_asked=3.0, rule=USUAL)
def test_no_more_are_expected_than_there_are_at_most(
    seed: int, n: int, n_asked: float, rule: IncidentRule
) -> None:
    history = held_out_scores(exponential(n, seed))

    found = calibrate(history, rule, n_asked / history.unit_days())

    assert 0.0 <= found.expected_per_day <= found.at_most_per_day


def test_a_rarer_rate_has_a_higher_threshold() -> None:
    history = held_out_scores(10.0 * power_law(N_HISTORY, 0))

    thresholds = [
        calibrate(history, ALONE, n_asked / history.unit_days()).threshold
        for n_asked in (9.0, 3.0, 1.0, 0.3, 0.1)
    ]

    assert thresholds == sorted(set(thresholds))


def test_scores_without_any_spread_have_no_tail() -> None:
    assert by_tail(np.ones(30, np.float32), 1.0) == 1.0


@pytest.mark.parametrize("n_wanted", [0.1, 1.0, 10.0])
def test_the_tail_is_that_of_the_peaks(n_wanted: float) -> None:
    # Of many peaks from a known law, the level is the one of that law.
    peaks = np.sort(np.exp(np.random.default_rng(0).exponential(size=20_000)))[::-1]

    level = by_tail(peaks, n_wanted)

    assert math.log(level) == pytest.approx(math.log(20_000 / n_wanted), rel=0.03)


def test_two_peaks_within_the_recovery_are_one() -> None:
    score_B = np.zeros(1_000, np.float32)
    score_B[[100, 105, 300, 311]] = [5.0, 4.0, 3.0, 2.0]

    peaks = highest_peaks(held_out_scores(score_B), IncidentRule(1, 1, 10))

    assert peaks.tolist() == [5.0, 3.0, 2.0]


def test_a_peak_counts_as_high_as_so_many_of_its_scores_reach() -> None:
    score_B = np.zeros(1_000, np.float32)
    score_B[100:104] = [9.0, 1.0, 8.0, 7.0]
    score_B[500] = 99.0

    peaks = highest_peaks(held_out_scores(score_B), IncidentRule(3, 4, 10))

    assert peaks.tolist() == [7.0]


def test_series_have_peaks_of_their_own() -> None:
    score_B = np.zeros(100, np.float32)
    score_B[[49, 50]] = [2.0, 3.0]
    series_B = np.repeat([0, 1], 50)

    peaks = highest_peaks(held_out_scores(score_B, series_B), IncidentRule(1, 1, 30))

    assert peaks.tolist() == [3.0, 2.0]


@given(st.integers(0, 100), st.integers(1, 300), st.sampled_from([ALONE, USUAL]))
def test_peaks_fall_and_are_no_more_than_are_wanted(
    seed: int, n: int, rule: IncidentRule
) -> None:
    peaks = highest_peaks(held_out_scores(power_law(n, seed)), rule).tolist()

    assert peaks == sorted(peaks, reverse=True)
    assert len(peaks) <= MAX_PEAKS
