"""Counts over a period: never those of long ago, never none again."""

import numpy as np

from pipeline.drift.recent import Recent


def test_what_is_told_covers_three_quarters_of_a_period_to_a_whole_one() -> None:
    recent = Recent(100.0, 10, 1)

    told = []
    for now_s in range(0, 400, 5):
        recent.add(5, 0.0, float(now_s), np.array([5]))
        told.append(recent.n_readings)

    assert told[:5] == [5, 10, 15, 20, 25]
    assert set(told[20:]) == {80, 85, 90, 95, 100}
    assert recent.totals()[0].tolist() == [told[-1]]


def test_where_too_few_readings_come_the_period_is_longer() -> None:
    recent = Recent(100.0, 12, 1)

    told = []
    for now_s in range(0, 10_000, 100):
        recent.add(1, 0.0, float(now_s), np.array([1]))
        told.append(recent.n_readings)

    assert min(told[12:]) == 10
    assert max(told) == 12


def test_nothing_is_enough_before_so_many_readings() -> None:
    recent = Recent(100.0, 10, 1)

    recent.add(9, 0.0, 0.0, np.array([0]))
    assert not recent.is_enough
    recent.add(1, 0.0, 0.0, np.array([0]))
    assert recent.is_enough


def test_each_array_is_counted_by_itself() -> None:
    recent = Recent(100.0, 1, 2, (1, 3))

    recent.add(4, 0.0, 0.0, np.array([1, 2]), np.array([[3, 4, 5]]))
    recent.add(4, 0.0, 60.0, np.array([1, 2]), np.array([[3, 4, 5]]))

    totals = [each.tolist() for each in recent.totals()]
    assert totals == [[2, 4], [[6, 8, 10]]]


def test_its_span_is_by_the_readings_own_clocks_and_of_what_is_told_only() -> None:
    recent = Recent(100.0, 1, 1)
    assert recent.span_s == 0

    for day in range(7):
        recent.add(1, 86_400.0 * day, 25.0 * day, np.array([1]))

    assert recent.n_readings == 4
    assert recent.span_s == 3 * 86_400.0
