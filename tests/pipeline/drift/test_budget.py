"""Incidents per unit and day, of the last hour, day and week."""

import math

import pytest

from pipeline.drift.budget import OVER_S, Budget

DAY_S = OVER_S["1d"]


def rates(budget: Budget, now_s: float) -> list[float]:
    return [budget.per_unit_day(over_s, now_s) for over_s in OVER_S.values()]


def test_it_is_incidents_per_unit_day_watched() -> None:
    budget = Budget()

    budget.add(n_incidents=3, unit_days=2.0, now_s=1_000.0)
    budget.add(n_incidents=0, unit_days=4.0, now_s=1_001.0)

    assert rates(budget, 1_002.0) == [0.5, 0.5, 0.5]


def test_nothing_is_known_where_nothing_was_watched() -> None:
    assert all(math.isnan(rate) for rate in rates(Budget(), 5.0))


def test_each_forgets_what_is_older() -> None:
    budget = Budget()
    budget.add(n_incidents=10, unit_days=1.0, now_s=0.0)
    for hour in range(1, 7 * 24):
        budget.add(n_incidents=0, unit_days=1.0, now_s=3_600.0 * hour)

    now_s = 3_600.0 * (7 * 24 - 1)
    assert rates(budget, now_s) == pytest.approx([0.0, 0.0, 10 / 168])


def test_the_same_place_holds_what_is_new_after_a_week() -> None:
    budget = Budget()
    budget.add(n_incidents=10, unit_days=1.0, now_s=0.0)

    budget.add(n_incidents=1, unit_days=1.0, now_s=7 * DAY_S)

    assert rates(budget, 7 * DAY_S) == [1.0, 1.0, 1.0]


def test_a_silent_worker_tells_of_its_last_week_still() -> None:
    budget = Budget()
    budget.add(n_incidents=2, unit_days=1.0, now_s=0.0)

    hour, day, week = rates(budget, 2 * DAY_S)

    assert math.isnan(hour)
    assert math.isnan(day)
    assert week == 2.0
