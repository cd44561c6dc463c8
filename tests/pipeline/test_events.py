"""Incidents against labelled events."""

import math

import numpy as np
import pytest

from pipeline.events import Span, compare, joined, labelled_events, usual_step_s, watched_s


def span(begin_s: float, end_s: float, unit: str = "a") -> Span:
    return Span(unit, begin_s, end_s)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0], []),
        ([0, 1, 1, 0, 1], [(10, 20), (40, 40)]),
        ([1, 1, 1], [(0, 20)]),
        ([], []),
    ],
)
def test_each_run_of_labels_is_one_event(
    labels: list[int], expected: list[tuple[float, float]]
) -> None:
    time_s_N = np.arange(0.0, 10.0 * len(labels), 10.0, dtype=np.float64)

    events = labelled_events("a", time_s_N, np.array(labels, dtype=np.bool_))

    assert events == [span(begin_s, end_s) for begin_s, end_s in expected]


@pytest.mark.parametrize(
    ("incident", "delay_s"),
    [
        (span(12, 15), 2.0),
        (span(5, 15), 0.0),
        (span(20, 99), 10.0),
        (span(12, math.inf), 2.0),
        (span(1, 10), 0.0),
        (span(20.1, 30), None),
        (span(1, 9.9), None),
        (span(12, 15, unit="b"), None),
    ],
)
def test_an_event_is_found_if_an_incident_was_open_during_it(
    incident: Span, delay_s: float | None
) -> None:
    comparison = compare([span(10, 20)], [incident])

    [match] = comparison.matches
    assert match.delay_s == delay_s
    assert match.found == (delay_s is not None)
    assert comparison.false_alarms == ([] if match.found else [incident])


def test_the_delay_is_to_the_first_incident() -> None:
    comparison = compare([span(10, 90)], [span(50, 60), span(20, 30)])

    assert comparison.median_delay_s == 10.0
    assert comparison.n_found == 1


def test_one_incident_may_find_several_events() -> None:
    comparison = compare([span(10, 20), span(30, 40)], [span(15, 35)])

    assert [match.delay_s for match in comparison.matches] == [5.0, 0.0]
    assert comparison.false_alarms == []


def test_without_events_every_incident_is_false_and_no_delay_is_known() -> None:
    comparison = compare([], [span(1, 2)])

    assert comparison.false_alarms == [span(1, 2)]
    assert math.isnan(comparison.median_delay_s)


@pytest.mark.parametrize(
    ("times_s", "step_s", "seconds"),
    [
        ([0, 10, 20, 30], 10.0, 30.0),
        # Three readings a time.
        ([0, 0, 0, 60, 60, 60, 120], 60.0, 120.0),
        # A night without readings counts as five steps.
        ([0, 10, 20, 30, 50_000, 50_010], 10.0, 30.0 + 50.0 + 10.0),
        ([7, 7, 7], 0.0, 0.0),
        ([7], 0.0, 0.0),
        ([], 0.0, 0.0),
    ],
)
def test_a_unit_was_watched_from_reading_to_reading_less_the_gaps(
    times_s: list[float], step_s: float, seconds: float
) -> None:
    time_s_N = np.array(times_s, dtype=np.float64)

    assert usual_step_s(time_s_N) == step_s
    assert watched_s(time_s_N) == seconds


def test_spans_of_a_unit_that_share_a_moment_are_one() -> None:
    spans = [span(20, 30), span(10, 20), span(40, 50), span(42, 45), span(15, 60, "b")]

    assert joined(spans) == [span(10, 30), span(40, 50), span(15, 60, "b")]
