"""Counts over a period: never those of long ago, never none again."""

import numpy as np

from pipeline.drift.recent import Recent


def test_what_is_told_covers_half_a_period_at_least_and_a_whole_one_at_most() -> None:
    recent = Recent(100.0, 10, 1)

    told = []
    for now_s in range(0, 400, 10):
        recent.add(10, float(now_s), np.array([10]))
        told.append(recent.n_readings)

    assert told[:6] == [10, 20, 30, 40, 50, 60]
    assert set(told[5:]) == {60, 70, 80, 90, 100}


def test_where_too_few_readings_come_the_period_is_longer() -> None:
    recent = Recent(100.0, 10, 1)

    for now_s in range(0, 1000, 100):
        recent.add(1, float(now_s), np.array([1]))

    assert recent.n_readings == 10


def test_nothing_is_enough_before_so_many_readings() -> None:
    recent = Recent(100.0, 10, 1)

    recent.add(9, 0.0, np.array([0]))
    assert not recent.is_enough
    recent.add(1, 0.0, np.array([0]))
    assert recent.is_enough


def test_each_array_is_counted_by_itself() -> None:
    recent = Recent(100.0, 1, 2, (1, 3))

    recent.add(4, 0.0, np.array([1, 2]), np.array([[3, 4, 5]]))
    recent.add(4, 60.0, np.array([1, 2]), np.array([[3, 4, 5]]))

    totals = [each.tolist() for each in recent.totals()]
    assert totals == [[2, 4], [[6, 8, 10]]]
