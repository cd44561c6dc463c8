"""Alerts against labels: readings, events, delays and false alarms."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from pipeline.records import BoolArray, TimeArray
from trainer.detections import DAY_S, Detections, Tally

STEP_S = 30.0


def flags(text: str) -> BoolArray:
    """`..##.` is False, False, True, True, False."""
    return np.array([letter == "#" for letter in text])


def rates(
    *units: tuple[BoolArray, BoolArray], times_s: TimeArray | None = None
) -> Detections:
    """Of units with these labels and alerts, a reading every 30 s."""
    tally = Tally()
    for label_N, is_alert_N in units:
        steps_s = STEP_S * np.arange(float(len(label_N)))
        tally.add(label_N, is_alert_N, steps_s if times_s is None else times_s)
    return tally.rates()


def random_unit(seed: int) -> tuple[BoolArray, BoolArray]:
    random = np.random.default_rng(seed)
    label_N = np.zeros(500, dtype=np.bool_)
    for begin in (0, 120, 300, 480):
        label_N[begin : begin + 20 + seed * 7] = True
    return label_N, np.repeat(random.random(125) < 0.2, 4)


def test_rates_over_units_are_those_of_another_implementation() -> None:
    found = rates(random_unit(0), random_unit(1))

    assert asdict(found) == pytest.approx(
        {
            "f1": 0.14794520547945206,
            "far": 19.16971916971917,
            "mar": 85.0828729281768,
            "event_precision": 0.14285714285714285,
            "event_recall": 0.625,
            "event_f1": 0.23255813953488372,
            "delay_median_s": 240.0,
            "delay_p90_s": 240.0,
            "false_alarms_per_day": 126.5934065934066,
        },
        abs=1e-9,
    )


def test_readings_are_counted_one_by_one() -> None:
    found = rates((flags(".####....."), flags("..###.#...")))

    assert found.f1 == pytest.approx(3 / (3 + (1 + 1) / 2))
    assert found.far == pytest.approx(100 * 1 / 6)
    assert found.mar == pytest.approx(100 * 1 / 4)


@pytest.mark.parametrize("alert", ["#.......", "..#.....", "...#....", "####...."])
def test_an_event_is_found_by_an_alert_that_touches_it(alert: str) -> None:
    found = rates((flags("..##....") | flags("#......."), flags(alert)))

    assert found.event_precision == 1.0


@pytest.mark.parametrize("alert", [".#......", "....#...", "......##"])
def test_an_alert_beside_an_event_is_false(alert: str) -> None:
    found = rates((flags("..##...."), flags(alert)))

    assert (found.event_precision, found.event_recall, found.event_f1) == (0.0, 0.0, 0.0)
    assert math.isnan(found.delay_median_s)


def test_one_alert_may_find_several_events_and_several_one() -> None:
    found = rates((flags(".#.#..####"), flags(".###..#.#.")))

    assert (found.event_precision, found.event_recall) == (1.0, 1.0)


def test_the_delay_runs_from_the_event_to_the_first_alert_and_is_0_if_one_is_on() -> None:
    late, on = (
        (flags(".####..."), flags("...##.##")),
        (flags(".####..."), flags("##.#....")),
    )

    assert rates(late).delay_median_s == 2 * STEP_S
    assert rates(on).delay_median_s == 0.0
    assert rates(late, on).delay_p90_s == pytest.approx(0.9 * 2 * STEP_S)


def test_false_alarms_are_per_day_without_label() -> None:
    found = rates((flags("##........"), flags("....#.##..")))

    assert found.false_alarms_per_day == pytest.approx(2 / (8 * STEP_S / DAY_S))


def test_a_gap_counts_for_at_most_5_usual_steps() -> None:
    label_N, is_alert_N = flags("....."), flags(".#...")
    times_s = np.array([0.0, 10.0, 20.0, 30.0, 1e9])

    found = rates((label_N, is_alert_N), times_s=times_s)

    assert found.false_alarms_per_day == pytest.approx(DAY_S / (5 * (30 + 50) / 4))


def test_readings_of_the_same_time_do_not_make_the_day_longer() -> None:
    label_N, is_alert_N = flags("." * 100), flags("#" + "." * 99)
    coarse_s = np.repeat(np.arange(20) * 5.0, 5)

    found = rates((label_N, is_alert_N), times_s=coarse_s)

    assert found.false_alarms_per_day == pytest.approx(DAY_S / 100, rel=0.05)


def test_always_alert_finds_every_event_and_its_far_gives_it_away() -> None:
    label_N = flags(".##...#...")

    found = rates((label_N, np.ones_like(label_N)))

    assert (found.event_f1, found.mar, found.far) == (1.0, 0.0, 100.0)


def test_what_has_nothing_to_be_a_rate_of_is_not_a_number() -> None:
    found = rates((flags("....."), flags(".....")))

    undefined = {name for name, value in asdict(found).items() if math.isnan(value)}
    assert undefined == {"f1", "event_recall", "event_f1", "delay_median_s", "delay_p90_s"}
    assert (found.far, found.mar, found.false_alarms_per_day) == (0.0, 0.0, 0.0)
