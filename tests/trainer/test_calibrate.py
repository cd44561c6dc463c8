"""The threshold: the lowest that keeps to the rate of false alarms that was asked for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray, IntArray, TimeArray
from pipeline.trigger import IncidentRule
from trainer.calibrate import DAY_S, calibrate, count_incidents, poisson_upper

RULE = IncidentRule(n_over=1, n_last=1, n_recovery=1)
STEP_S = 600.0


def one_unit(error_B: FloatArray) -> IntArray:
    return np.zeros(len(error_B), dtype=np.int64)


def steady(error_B: FloatArray, unit_B: IntArray | None = None) -> TimeArray:
    """Times a step apart, each unit's from its own beginning."""
    unit_B = one_unit(error_B) if unit_B is None else unit_B
    rank_B = np.arange(len(unit_B)) - np.searchsorted(unit_B, unit_B)
    return STEP_S * rank_B.astype(np.float64)


def errors(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float32)


@given(
    seed=st.integers(0, 1_000),
    n_units=st.integers(1, 3),
    n_windows=st.integers(8, 400),
    rule=st.sampled_from([RULE, IncidentRule(3, 5, 10), IncidentRule(2, 4, 1)]),
    per_day=st.floats(0.01, 50),
)
def test_no_lower_threshold_keeps_to_the_rate_on_the_way_down(
    seed: int, n_units: int, n_windows: int, rule: IncidentRule, per_day: float
) -> None:
    random = np.random.default_rng(seed)
    error_B = random.gamma(1.0, size=n_windows).astype(np.float32)
    unit_B = np.sort(random.integers(0, n_units, n_windows))

    found = calibrate(error_B, unit_B, steady(error_B, unit_B), rule, per_day)

    n_steps = n_windows - len(set(unit_B.tolist()))
    n_allowed = math.floor(per_day * n_steps * STEP_S / DAY_S)
    n_found = count_incidents(error_B, unit_B, found.threshold, rule)
    assert n_found == found.n_false_alarms <= n_allowed
    # Thresholds are tried just above the highest tenth of the scores, the highest first.
    highest = np.unique(np.sort(error_B)[-max(1, n_windows // 10) :])
    below = highest[highest < found.threshold / 1.000_01][::-1]
    n_counted = [
        count_incidents(error_B, unit_B, float(score) * 1.000_001, rule)
        for score in below[: 2 + len(error_B) // 20]
    ]
    assert not n_counted or len(below) <= len(n_counted) or max(n_counted) > n_allowed


def test_a_rate_that_normal_readings_never_reach_leaves_most_of_them_below() -> None:
    error_B = np.random.default_rng(0).gamma(1.0, size=500).astype(np.float32)

    found = calibrate(
        error_B, one_unit(error_B), steady(error_B), RULE, false_alarms_per_day=1e6
    )

    assert (error_B >= found.threshold).mean() <= 0.1


def test_the_score_above_which_nothing_more_is_allowed_stays_below() -> None:
    # Ten days, of which every score stands out alone; three incidents are allowed.
    error_B = np.zeros(1_441, np.float32)
    error_B[[100, 300, 500, 700, 900]] = [5.0, 4.0, 3.0, 2.0, 1.0]

    found = calibrate(
        error_B, one_unit(error_B), steady(error_B), RULE, false_alarms_per_day=0.3
    )

    assert 2.0 < found.threshold < 2.000_01
    assert found.n_false_alarms == 3
    assert found.unit_days == 10.0
    assert found.expected_per_day == pytest.approx(0.3)
    assert found.at_most_per_day == pytest.approx(0.775, abs=1e-3)
    assert found.is_shown


def test_below_the_highest_rate_all_incidents_melt_into_one_and_are_not_mistaken() -> None:
    # At 0.5 everything is one long incident; at 1.5 there are 73.
    error_B = np.tile(errors(1.0, 2.0), 73)

    found = calibrate(
        error_B, one_unit(error_B), steady(error_B), RULE, false_alarms_per_day=1.0
    )

    assert found.threshold > 2.0
    assert found.n_false_alarms == 0


def test_a_part_too_short_for_the_rate_allows_no_incident_and_says_so() -> None:
    error_B = errors(1.0, 3.0, 2.0)

    found = calibrate(
        error_B, one_unit(error_B), steady(error_B), RULE, false_alarms_per_day=1.0
    )

    assert found.threshold > 3.0
    assert (found.n_false_alarms, found.is_shown) == (0, False)
    assert found.at_most_per_day == pytest.approx(2.9957 / (2 * STEP_S / DAY_S), rel=1e-4)


def test_a_higher_rate_never_gives_a_higher_threshold() -> None:
    error_B = np.random.default_rng(0).gamma(1.0, size=2_000).astype(np.float32)

    thresholds = [
        calibrate(
            error_B, one_unit(error_B), steady(error_B), IncidentRule(3, 5, 10), rate
        ).threshold
        for rate in (0.1, 0.5, 1.0, 2.0, 5.0)
    ]

    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) > 1


def test_errors_without_any_height_still_give_a_threshold_above_0() -> None:
    error_B = np.zeros(10, np.float32)

    found = calibrate(error_B, one_unit(error_B), steady(error_B), RULE, 1.0)

    assert found.threshold > 0.0


def test_readings_that_follow_no_other_show_no_rate() -> None:
    found = calibrate(errors(1, 2, 3), np.array([0, 1, 2]), np.zeros(3), RULE, 1.0)

    assert found.threshold > 3.0
    assert (found.expected_per_day, found.at_most_per_day) == (0.0, math.inf)
    assert not found.is_shown


def test_units_of_different_steps_count_for_as_long_as_they_were_watched() -> None:
    unit_B = np.repeat([0, 1], [8_641, 145])
    time_s_B = np.concatenate([np.arange(8_641) * 10.0, np.arange(145) * 600.0])
    error_B = np.zeros(len(unit_B), np.float32)

    # Each a day; by one step for both it would be a tenth of that, or thirty times.
    assert calibrate(error_B, unit_B, time_s_B, RULE, 1.0).unit_days == 2.0


def test_readings_of_one_time_take_no_time_and_a_gap_hardly_any() -> None:
    time_s_B = np.repeat(np.arange(145) * 600.0, 3)
    time_s_B[-30:] += 30 * DAY_S
    error_B = np.zeros(len(time_s_B), np.float32)

    found = calibrate(error_B, one_unit(error_B), time_s_B, RULE, 1.0)

    assert found.unit_days == pytest.approx(1.0 + 4 * STEP_S / DAY_S)


@pytest.mark.parametrize("per_day", [1e308, math.inf])
def test_any_rate_can_be_asked_for(per_day: float) -> None:
    error_B = np.random.default_rng(0).gamma(1.0, size=500).astype(np.float32)

    found = calibrate(error_B, one_unit(error_B), steady(error_B), RULE, per_day)

    assert math.isfinite(found.threshold)


@pytest.mark.parametrize(
    ("units", "n_incidents"),
    [([0] * 6, 1), ([0, 0, 0, 1, 1, 1], 0), ([0, 0, 1, 1, 1, 1], 1)],
)
def test_incidents_are_counted_by_the_workers_rule_and_by_unit(
    units: list[int], n_incidents: int
) -> None:
    error_B = errors(0, 9, 9, 9, 9, 0)

    counted = count_incidents(
        error_B, np.array(units), threshold=9.0, rule=IncidentRule(3, 3, 1)
    )

    assert counted == n_incidents


@pytest.mark.parametrize(
    ("n_events", "upper"),
    [(0, 2.9957), (1, 4.7439), (2, 6.2958), (10, 16.9622), (100, 118.0794)],
)
def test_the_upper_end_of_a_poisson_count_is_that_of_the_tables(
    n_events: int, upper: float
) -> None:
    assert poisson_upper(n_events) == pytest.approx(upper, abs=1e-3)


def test_a_higher_confidence_has_a_higher_end() -> None:
    assert poisson_upper(0, confidence=0.99) == pytest.approx(-math.log(0.01), abs=1e-6)
