"""The threshold: the lowest that keeps to the rate, where that can be counted."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray, IntArray
from pipeline.trigger import IncidentRule, UnitState, transitions
from tests.trainer.training import STEP_S, held_out_scores
from trainer.calibrate import (
    COUNTED,
    DAY_S,
    MIN_EXPECTED,
    HeldOutScores,
    calibrate,
    count_incidents,
    poisson_upper,
)

RULE = IncidentRule(n_over=1, n_last=1, n_recovery=1)
RULES = [RULE, IncidentRule(3, 5, 10), IncidentRule(2, 4, 1)]


def scores(*values: float) -> HeldOutScores:
    return held_out_scores(np.array(values, dtype=np.float32))


def gamma(n: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).gamma(1.0, size=n).astype(np.float32)


@given(
    seed=st.integers(0, 1_000),
    n_series=st.integers(1, 3),
    n_windows=st.integers(8, 400),
    rule=st.sampled_from(RULES),
    n_asked=st.floats(MIN_EXPECTED, 200.0),
)
def test_no_lower_threshold_keeps_to_the_rate_on_the_way_down(
    seed: int, n_series: int, n_windows: int, rule: IncidentRule, n_asked: float
) -> None:
    random = np.random.default_rng(seed)
    score_B, series_B = gamma(n_windows, seed), random.integers(0, n_series, n_windows)
    series_B = np.unique(np.sort(series_B), return_inverse=True)[1]
    held_out = held_out_scores(score_B, series_B)

    found = calibrate(held_out, rule, n_asked * 1.000_001 / held_out.unit_days())

    n_found = count_incidents(score_B, series_B, found.threshold, rule)
    assert found.method == COUNTED
    assert n_found == found.n_false_alarms <= math.floor(n_asked * 1.000_001)
    # Thresholds are tried just above the highest tenth of the scores, the highest first.
    highest = np.unique(np.sort(score_B)[-max(1, n_windows // 10) :])
    below = highest[highest < found.threshold / 1.000_01][::-1]
    n_counted = [
        count_incidents(score_B, series_B, float(score) * 1.000_001, rule)
        for score in below[: 2 + n_windows // 20]
    ]
    assert len(below) <= len(n_counted) or max(n_counted) > math.floor(n_asked)


def test_a_rate_that_normal_readings_never_reach_leaves_most_of_them_below() -> None:
    score_B = gamma(500)

    found = calibrate(held_out_scores(score_B), RULE, false_alarms_per_day=1e6)

    assert (score_B >= found.threshold).mean() <= 0.1
    assert found.limited_by == "scores"


@pytest.mark.parametrize(
    ("per_day", "limited_by"),
    [(0.001, "history"), (0.1, "history"), (1.0, ""), (10.0, ""), (1_000.0, "scores")],
)
def test_a_rate_that_cannot_be_promised_says_what_is_in_the_way(
    per_day: float, limited_by: str
) -> None:
    # Seven days, in which no more than 144 readings a day can be incidents.
    held_out = held_out_scores(gamma(1_000))

    found = calibrate(held_out, RULE, per_day)

    assert found.limited_by == limited_by
    is_promised = found.expected_per_day == pytest.approx(per_day, rel=0.2)
    assert is_promised or limited_by != ""


@pytest.mark.parametrize(
    ("per_day", "limited_by"), [(0.1, "max_readings"), (1.0, ""), (1_000.0, "scores")]
)
def test_where_readings_were_left_out_these_are_in_the_way_of_a_rare_rate(
    per_day: float, limited_by: str
) -> None:
    of_all = calibrate(held_out_scores(gamma(1_000)), RULE, per_day)

    assert of_all.of_part().limited_by == limited_by


def test_readings_whose_times_do_not_advance_would_show_no_rate_if_there_were_more() -> (
    None
):
    alone = held_out_scores(np.ones(3, np.float32), np.array([0, 1, 2]))

    assert calibrate(alone, RULE, 1.0).of_part().limited_by == "history"


def test_the_score_above_which_nothing_more_is_allowed_stays_below() -> None:
    # Ten days, in which every score stands out alone; ten incidents are allowed.
    score_B = np.zeros(1_441, np.float32)
    score_B[100:1_300:100] = np.arange(12.0, 0.0, -1.0)

    found = calibrate(held_out_scores(score_B), RULE, false_alarms_per_day=1.0)

    assert 2.0 < found.threshold < 2.000_01
    assert (found.n_false_alarms, found.unit_days) == (10, 10.0)
    assert found.expected_per_day == pytest.approx(1.0)
    assert found.at_most_per_day == pytest.approx(1.696, abs=1e-3)
    assert found.limited_by == ""


def test_below_the_highest_rate_all_incidents_melt_into_one_and_are_not_mistaken() -> None:
    # At 0.5 everything is one long incident; at 1.5 there are 730.
    score_B = np.tile(np.array([1.0, 2.0], dtype=np.float32), 730)

    found = calibrate(held_out_scores(score_B), RULE, false_alarms_per_day=1.0)

    assert found.method == COUNTED
    assert found.threshold > 2.0
    assert found.n_false_alarms == 0


def test_a_higher_rate_never_gives_a_higher_threshold() -> None:
    held_out = held_out_scores(gamma(6_000))

    thresholds = [
        calibrate(held_out, IncidentRule(3, 5, 10), rate).threshold
        for rate in (0.1, 0.5, 1.0, 2.0, 5.0)
    ]

    assert thresholds == sorted(thresholds, reverse=True)
    assert len(set(thresholds)) > 1


@pytest.mark.parametrize("n_windows", [1, 10, 3_000])
def test_scores_without_any_height_still_give_a_threshold_above_0(n_windows: int) -> None:
    found = calibrate(held_out_scores(np.zeros(n_windows, np.float32)), RULE, 1.0)

    assert found.threshold > 0.0


def test_readings_that_follow_no_other_show_no_rate() -> None:
    values = np.array([1, 2, 3], dtype=np.float32)

    found = calibrate(held_out_scores(values, np.array([0, 1, 2])), RULE, 1.0)

    assert found.threshold > 3.0
    assert (found.expected_per_day, found.at_most_per_day) == (0.0, math.inf)
    assert found.limited_by == "history"


def test_units_of_different_steps_count_for_as_long_as_they_were_watched() -> None:
    series_B = np.repeat([0, 1], [8_641, 145])
    time_s_B = np.concatenate([np.arange(8_641) * 10.0, np.arange(145) * 600.0])
    score_B = np.zeros(len(series_B), np.float32)

    # Each a day; by one step for both it would be a tenth of that, or thirty times.
    assert HeldOutScores(score_B, series_B, time_s_B).unit_days() == 2.0


def test_readings_of_one_time_take_no_time_and_a_gap_hardly_any() -> None:
    time_s_B = np.repeat(np.arange(145) * 600.0, 3)
    time_s_B[-30:] += 30 * DAY_S
    score_B = np.zeros(len(time_s_B), np.float32)

    found = HeldOutScores(score_B, np.zeros(len(time_s_B), np.int64), time_s_B)

    assert found.unit_days() == pytest.approx(1.0 + 4 * STEP_S / DAY_S)


@pytest.mark.parametrize("per_day", [1e-300, 1e308, math.inf])
def test_any_rate_can_be_asked_for(per_day: float) -> None:
    found = calibrate(held_out_scores(gamma(500)), RULE, per_day)

    assert 0.0 < found.threshold < math.inf


def openings(
    score_B: FloatArray, series_B: IntArray, rule: IncidentRule
) -> Iterator[tuple[int, bool]]:
    """The worker's own changes, one score at a time."""
    states = {series: UnitState() for series in set(series_B.tolist())}
    for b, series in enumerate(series_B.tolist()):
        yield from transitions(score_B[b : b + 1], rule, states[series])


@given(
    st.lists(st.sampled_from([0.0, 0.8, 0.9, 1.0, 2.0]), max_size=60),
    st.integers(0, 60),
    st.sampled_from(RULES),
)
def test_incidents_are_those_that_the_workers_rule_opens(
    values: list[float], first_of_second: int, rule: IncidentRule
) -> None:
    score_B = np.array(values, dtype=np.float32)
    series_B = (np.arange(len(values)) >= first_of_second).astype(np.int64)

    counted = count_incidents(4.0 * score_B, series_B, threshold=4.0, rule=rule)

    assert counted == sum(opens for _, opens in openings(score_B, series_B, rule))


@pytest.mark.parametrize(
    ("series", "n_incidents"),
    [([0] * 6, 1), ([0, 0, 0, 1, 1, 1], 0), ([0, 0, 1, 1, 1, 1], 1)],
)
def test_incidents_are_counted_by_series(series: list[int], n_incidents: int) -> None:
    score_B = np.array([0, 9, 9, 9, 9, 0], dtype=np.float32)
    rule = IncidentRule(3, 3, 1)

    assert count_incidents(score_B, np.array(series), 9.0, rule) == n_incidents


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
