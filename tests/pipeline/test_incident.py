"""Scores to incidents: when one opens, is told of again, and closes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.incident import Event, IncidentTracker
from pipeline.trigger import IncidentRule
from tests.builders import scored

RULE = IncidentRule(n_over=2, n_last=3, n_recovery=2)


def follow(
    tracker: IncidentTracker, scores: list[float], first_index: int = 0
) -> list[Event]:
    """The events of one poll with these scores of one unit."""
    readings, windows, columns = scored({0: scores}, first_index)
    return tracker.update(readings, windows, columns, n_rows=1).events


def states(scores: list[float], rule: IncidentRule = RULE) -> list[tuple[str, float]]:
    """What is told of one unit with these scores, and after which of them."""
    events = follow(IncidentTracker(rule), scores)
    return [(event.state, event.time_s - 100.0) for event in events]


@pytest.mark.parametrize(
    ("scores", "opens_at"),
    [
        ([1.0, 1.0], 1),
        ([1.0, 0.0, 1.0], 2),
        ([0.0, 0.0, 1.0, 0.0, 1.0], 4),
    ],
)
def test_k_of_the_last_n_scores_at_or_above_1_open_an_incident(
    scores: list[float], opens_at: int
) -> None:
    assert states(scores) == [("opened", opens_at)]


@pytest.mark.parametrize(
    "scores", [[], [0.99] * 9, [1.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]
)
def test_fewer_open_none(scores: list[float]) -> None:
    assert states(scores) == []


def test_m_scores_in_a_row_below_1_close_it() -> None:
    assert states([1, 1, 0.5, 1, 0.5, 0.5, 0.5]) == [("opened", 1), ("closed", 5)]


def test_a_closed_incident_does_not_count_towards_the_next() -> None:
    rule = IncidentRule(n_over=2, n_last=10, n_recovery=1)

    assert states([1, 1, 0, 1, 0, 1], rule) == [
        ("opened", 1),
        ("closed", 2),
        ("opened", 5),
    ]


def test_a_rule_may_look_back_over_64_scores() -> None:
    rule = IncidentRule(n_over=64, n_last=64, n_recovery=1)

    assert states([1.0] * 63, rule) == []
    assert states([1.0] * 64, rule) == [("opened", 63)]


def test_it_is_told_of_again_when_its_peak_has_grown_by_half() -> None:
    scores = [1.0, 1.0, 1.4, 1.6, 1.7, 1.5]

    assert states(scores) == [("opened", 1), ("updated", 3)]


def test_it_is_told_of_again_when_it_becomes_critical() -> None:
    assert states([1.9, 1.9, 2.0, 2.9, 3.0]) == [
        ("opened", 1),
        ("updated", 2),
        ("updated", 4),
    ]


def test_updates_are_bounded_by_the_logarithm_of_the_peak() -> None:
    rising = np.geomspace(1.0, 1e6, 2_000).tolist()

    n_updates = len(states(rising)) - 1

    assert n_updates <= np.log(1e6) / np.log(1.5) + 1


def test_a_closed_incident_carries_the_explanation_of_its_peak() -> None:
    events = follow(IncidentTracker(RULE), [1.0, 1.1, 1.3, 1.2, 0.1, 0.2])

    closed = events[-1]
    assert closed.state == "closed"
    assert closed.score == pytest.approx(0.2)
    assert closed.peak_score == pytest.approx(1.3)
    assert closed.explanation.observed_F.tolist() == pytest.approx([1.3, 2.6])
    assert closed.explanation.expected_F.tolist() == pytest.approx([0.65, 1.3])
    assert (closed.opened_at_s, closed.time_s) == (101.0, 105.0)


def test_an_event_names_the_window_that_caused_it() -> None:
    [opened] = follow(IncidentTracker(RULE), [1.0, 1.2], first_index=40)

    assert (opened.unit, opened.partition.topic) == ("unit-0", "readings")
    assert (opened.first_offset, opened.last_offset) == (38, 41)
    assert (opened.opened_at_s, opened.time_s) == (141.0, 141.0)


def test_units_are_followed_apart() -> None:
    tracker = IncidentTracker(RULE)

    decisions = tracker.update(*scored({0: [1, 0, 0], 1: [1, 1], 3: [0, 1]}), n_rows=4)

    assert [event.unit for event in decisions.events] == ["unit-1"]
    assert tracker.n_open == 1


def test_a_window_is_open_from_the_opening_score_to_the_one_before_the_closing() -> None:
    tracker = IncidentTracker(RULE)

    decisions = tracker.update(*scored({0: [1, 1, 0, 1, 0, 0, 1], 1: [0.0]}), n_rows=2)

    assert decisions.is_open_B.tolist() == [False, *[True] * 4, False, False, False]


@given(
    scores=st.lists(st.sampled_from([0.2, 0.9, 1.0, 1.4, 1.9, 2.0, 3.1, 9.0]), max_size=40),
    cuts=st.lists(st.integers(0, 40)),
    rule=st.builds(
        lambda n_last, n_over, n_recovery: IncidentRule(
            min(n_over, n_last), n_last, n_recovery
        ),
        *[st.integers(1, 4)] * 3,
    ),
)
def test_how_scores_are_cut_into_polls_changes_nothing(
    scores: list[float], cuts: list[int], rule: IncidentRule
) -> None:
    at_once, in_polls = IncidentTracker(rule), IncidentTracker(rule)
    whole = at_once.update(*scored({0: scores}), n_rows=1)
    bounds = [0, *sorted(min(cut, len(scores)) for cut in cuts), len(scores)]

    events: list[Event] = []
    is_open: list[bool] = []
    for begin, end in itertools.pairwise(bounds):
        decisions = in_polls.update(*scored({0: scores[begin:end]}, begin), n_rows=1)
        events += decisions.events
        is_open += decisions.is_open_B.tolist()

    assert [plain(event) for event in events] == [plain(event) for event in whole.events]
    assert is_open == whole.is_open_B.tolist()
    assert in_polls.n_open == at_once.n_open


@given(
    scores=st.lists(st.sampled_from([0.5, 1.0, 2.5]), max_size=40),
    n_over=st.integers(1, 5),
    n_recovery=st.integers(1, 4),
)
def test_events_are_those_of_the_rule_read_out_word_by_word(
    scores: list[float], n_over: int, n_recovery: int
) -> None:
    rule = IncidentRule(n_over, 5, n_recovery)
    expected: list[tuple[str, float]] = []
    since, open_since = 0, -1
    for i in range(len(scores)):
        if open_since < 0:
            last = scores[max(since, i - 4) : i + 1]
            if sum(score >= 1.0 for score in last) >= n_over:
                expected.append(("opened", i))
                open_since = i
        elif i - open_since >= n_recovery and max(scores[i + 1 - n_recovery : i + 1]) < 1:
            expected.append(("closed", i))
            since, open_since = i + 1, -1

    told = [event for event in states(scores, rule) if event[0] != "updated"]

    assert told == expected


def test_a_forgotten_unit_has_no_incident_and_no_scores_behind_it() -> None:
    tracker = IncidentTracker(RULE)
    tracker.update(*scored({0: [1, 1], 1: [1], 2: [1, 1]}), n_rows=3)

    tracker.forget(np.array([0, 1]))

    decisions = tracker.update(*scored({0: [1, 0], 1: [1, 0], 2: [1, 0]}), n_rows=3)
    assert decisions.events == []
    assert decisions.is_open_B.tolist() == [False, False, False, False, True, True]
    assert tracker.n_open == 1


def test_a_row_that_never_had_a_score_may_be_forgotten() -> None:
    IncidentTracker(RULE).forget(np.array([5]))  # raises nothing


def test_an_open_incident_does_not_change_when_the_polls_arrays_do() -> None:
    tracker = IncidentTracker(RULE)
    readings, windows, scores = scored({0: [1.5, 1.5]})
    tracker.update(readings, windows, scores, n_rows=1)
    scores.observed_BF[:] = -1.0

    [closed] = follow(tracker, [0.0, 0.0])

    assert closed.explanation.observed_F.tolist() == [1.5, 3.0]


def plain(event: Event) -> tuple[object, ...]:
    """An event whose arrays compare by value."""
    arrays = tuple(tuple(array_F.tolist()) for array_F in event.explanation)
    return (*event._replace(explanation=arrays),)  # type: ignore[arg-type]
