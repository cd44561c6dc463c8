"""Counts over a period: never those of long ago, never none again."""

import numpy as np
import pytest

from pipeline.drift.recent import Recent


def test_what_is_told_covers_three_quarters_of_a_period_to_a_whole_one() -> None:
    recent = Recent(100.0, 10, 1)

    told = []
    for now_s in np.arange(0.0, 400.0, 5.0).tolist():
        recent.add(5, 0.0, now_s, np.array([5]))
        told.append(recent.n_readings(now_s))

    assert told[:5] == [5, 10, 15, 20, 25]
    assert set(told[20:]) == {80, 85, 90, 95, 100}
    assert recent.totals(395.0)[0].tolist() == [told[-1]]


def test_where_too_few_readings_come_the_period_is_longer() -> None:
    recent = Recent(100.0, 12, 1)

    told = []
    for now_s in np.arange(0.0, 10_000.0, 100.0).tolist():
        recent.add(1, 0.0, now_s, np.array([1]))
        told.append(recent.n_readings(now_s))

    assert told[:12] == list(range(1, 13))
    assert min(told[12:]) == 13
    assert max(told) == 16


def test_nothing_is_enough_before_so_many_readings() -> None:
    recent = Recent(100.0, 10, 1)

    recent.add(9, 0.0, 0.0, np.array([0]))
    assert not recent.is_enough(0.0)
    recent.add(1, 0.0, 0.0, np.array([0]))
    assert recent.is_enough(0.0)


def test_each_array_is_counted_by_itself() -> None:
    recent = Recent(100.0, 1, 2, (1, 3))

    recent.add(4, 0.0, 0.0, np.array([1, 2]), np.array([[3, 4, 5]]))
    recent.add(4, 0.0, 60.0, np.array([1, 2]), np.array([[3, 4, 5]]))

    totals = [each.tolist() for each in recent.totals(60.0)]
    assert totals == [[2, 4], [[6, 8, 10]]]


def test_its_span_is_by_the_readings_own_clocks_and_of_what_is_told_only() -> None:
    recent = Recent(100.0, 1, 1)
    assert recent.span_s(0.0) == 0

    for day in range(7):
        recent.add(1, 86_400.0 * day, 25.0 * day, np.array([1]))

    assert recent.n_readings(150.0) == 4
    assert recent.span_s(150.0) == 3 * 86_400.0


def read(recent: Recent, begin_s: float, end_s: float, every_s: float, n: int = 1) -> float:
    """Add `n` readings every so often; when the last of them came."""
    times_s = np.arange(begin_s, end_s, every_s).tolist()
    for now_s in times_s:
        recent.add(n, now_s, now_s, np.array([n]))
    return float(times_s[-1])


@pytest.mark.parametrize("every_s", [1.0, 7.0, 9.0])
def test_of_before_a_silence_nothing_is_told_behind_it(every_s: float) -> None:
    recent = Recent(100.0, 10, 1)
    last_s = read(recent, 0.0, 100.0, every_s)
    assert recent.is_enough(last_s)

    recent.add(1, 0.0, last_s + 1_000.0, np.array([1]))

    assert recent.n_readings(last_s + 1_000.0) == 1


@pytest.mark.parametrize(("every_s", "longest_s"), [(1.0, 100.0), (9.0, 16 * 9.0 + 25.0)])
def test_while_nothing_comes_nothing_is_told_from_a_period_on(
    every_s: float, longest_s: float
) -> None:
    recent = Recent(100.0, 10, 1)

    last_s = read(recent, 0.0, 200.0, every_s)

    assert recent.is_enough(last_s)
    assert recent.n_readings(last_s + longest_s + 1) == 0
    assert recent.totals(last_s + longest_s + 1)[0].tolist() == [0]
    assert recent.span_s(last_s + longest_s + 1) == 0


def test_a_short_silence_makes_the_period_no_longer() -> None:
    recent = Recent(100.0, 10, 1)
    read(recent, 0.0, 100.0, 1.0)

    recent.add(1, 0.0, 160.0, np.array([1]))

    assert recent.n_readings(160.0) == 25 + 1


def test_of_a_busy_stream_that_became_rare_nothing_is_told_before_it_is_enough() -> None:
    recent = Recent(100.0, 10, 1)
    busy_until_s = read(recent, 0.0, 100.0, 1.0)

    read(recent, 150.0, 301.0, 50.0)
    assert recent.n_readings(busy_until_s + 202.0) < 10

    last_s = read(recent, 350.0, 1_001.0, 50.0)
    assert 10 <= recent.n_readings(last_s) <= 16


def test_readings_that_come_rarely_make_up_the_number_however_long_it_takes() -> None:
    recent = Recent(100.0, 10, 1)

    last_s = read(recent, 0.0, 20_000.0, 1_000.0, n=4)

    assert 10 <= recent.n_readings(last_s) <= 16
    assert recent.is_enough(last_s + 999.0)
    assert recent.n_readings(last_s + 10_000.0) == 0
