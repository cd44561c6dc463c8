"""How long units were watched: as `watched_s` counts it of a history, poll by poll."""

import numpy as np
import pytest

from pipeline.drift.watched import Watched
from pipeline.events import watched_s
from pipeline.units import Units
from pipeline.window import SlidingWindows
from tests import builders


class Unit:
    """Polls of one unit's readings, or of several units' in turn."""

    def __init__(self) -> None:
        self.watched = Watched()
        self.windows = SlidingWindows(4, 1)
        self.units = Units(1_000)

    def read(self, time_s_N: list[float], units: list[str] | None = None) -> float:
        """Seconds watched by one poll."""
        polled = builders.readings(units or ["pump-7"] * len(time_s_N), time_s_N)
        readings, row_N, _ = self.units.admit(polled, builders.polled())
        found = self.windows.extend(readings, row_N, self.units.n_rows)
        return sum(self.watched.extend(each.arrived) for each in found)


@pytest.mark.parametrize("n_at_once", [1, 7, 1_000])
def test_readings_at_a_steady_rate_are_watched_from_the_first_to_the_last(
    n_at_once: int,
) -> None:
    unit, time_s_N = Unit(), [60.0 * i for i in range(1_000)]

    polls = (time_s_N[i : i + n_at_once] for i in range(0, 1_000, n_at_once))

    assert sum(map(unit.read, polls)) == pytest.approx(999 * 60.0)


@pytest.mark.parametrize("n_at_once", [1, 7, 1_000])
def test_uneven_steps_and_gaps_count_about_as_in_a_history(n_at_once: int) -> None:
    random = np.random.default_rng(0)
    step_s_N = random.uniform(50, 70, size=3_000)
    step_s_N[::100] = 86_400.0
    step_s_N[1::3] = 0.0
    time_s_N = np.cumsum(step_s_N)
    unit = Unit()

    polls = (time_s_N[i : i + n_at_once].tolist() for i in range(0, 3_000, n_at_once))

    assert sum(map(unit.read, polls)) == pytest.approx(watched_s(time_s_N), rel=0.02)


def test_a_gap_counts_as_a_few_usual_steps() -> None:
    unit = Unit()
    unit.read([60.0 * i for i in range(100)])

    week_s = 7 * 86_400.0
    assert unit.read([100 * 60.0 + week_s]) < 600.0


def test_a_unit_that_begins_with_a_gap_is_soon_known_better() -> None:
    unit = Unit()
    day_s = 86_400.0
    unit.read([0.0, day_s])
    for i in range(1, 20):
        unit.read([day_s + 60.0 * i])

    assert unit.read([3 * day_s]) < 600.0


def test_late_readings_do_not_count() -> None:
    unit = Unit()
    unit.read([0.0, 60.0, 120.0])

    assert unit.read([30.0, 60.0, 180.0]) == pytest.approx(60.0)


def test_units_of_different_rates_are_each_watched_at_their_own() -> None:
    unit = Unit()
    for minute in range(100):
        unit.read([60.0 * minute, 3_600.0 * minute], ["quick", "slow"])

    assert unit.read([6_060.0, 360_000.0], ["quick", "slow"]) == pytest.approx(3_720.0)


def test_the_next_unit_in_a_row_starts_without_a_past() -> None:
    unit = Unit()
    unit.read([60.0 * i for i in range(100)])
    rows = unit.units.forget([builders.readings(["any"]).partitions[0]])
    unit.windows.forget(rows)

    hour_s = 3_600.0
    assert unit.read([1e6], ["valve-1"]) == 0
    assert unit.read([1e6 + hour_s], ["valve-1"]) == pytest.approx(hour_s)
