"""Scores to incidents: when one opens, is told of again, and closes."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.incident import Event, IncidentTracker
from pipeline.records import FloatArray, Partition, Readings, Scores
from pipeline.trigger import IncidentRule
from pipeline.window import Arrived, LiveWindows, Windows
from tests import builders

RULE = IncidentRule(n_over=2, n_last=3, n_recovery=2)
REACH = np.array([7, 8, 9, 10])
"""From which offset on each unit's readings bring it about again."""

NOTHING_ARRIVED = Arrived(
    row_G=np.empty(0, dtype=np.int64),
    n_G=np.empty(0, dtype=np.int64),
    first_offset_G=np.empty(0, dtype=np.int64),
    reading_N=np.empty(0, dtype=np.int64),
    step_s_N=np.empty(0),
)


def scored(
    score_by_row: Mapping[int, Sequence[float]], first_index: int = 0
) -> tuple[Readings, LiveWindows, Scores]:
    """One poll in which each unit (`unit-0` has row 0) has windows with these scores.

    Reading i of a unit, counted from `first_index`, has time 100 + i and offset i; of its
    two sensors the first observed the score, and the window began 3 readings before.
    """
    row_B = np.array([row for row, s in score_by_row.items() for _ in s], np.int64)
    index_B = np.array(
        [first_index + i for s in score_by_row.values() for i in range(len(s))], np.int64
    )
    score_B = np.array([x for s in score_by_row.values() for x in s], np.float32)
    columns_BF: FloatArray = np.column_stack([score_B, 2 * score_B])
    return (
        builders.readings(
            [f"unit-{row}" for row in row_B],
            time_s_N=(100.0 + index_B).tolist(),
            offset_N=index_B.tolist(),
        ),
        LiveWindows(
            windows=Windows(np.empty((0, 2), np.float32), np.zeros_like(row_B), 4),
            reading_B=np.arange(len(row_B)),
            row_B=row_B,
            first_offset_B=index_B - 3,
            arrived=NOTHING_ARRIVED,
            anew=row_B[:0],
            n_late=0,
        ),
        Scores(
            score_B,
            contribution_BF=np.full_like(columns_BF, 0.5),
            observed_BF=columns_BF,
            expected_BF=0.5 * columns_BF,
            latent_BL=columns_BF[:, :1],
        ),
    )


def follow(
    tracker: IncidentTracker, scores: list[float], first_index: int = 0
) -> list[Event]:
    """The events of one poll with these scores of one unit."""
    readings, windows, columns = scored({0: scores}, first_index)
    return tracker.update(readings, windows, columns, REACH[:1]).events


def states(scores: list[float], rule: IncidentRule = RULE) -> list[tuple[str, float]]:
    """What is told of one unit with these scores, and after which of them."""
    events = follow(IncidentTracker(rule), scores)
    return [(event.state, event.time_s - 100.0) for event in events]


def test_it_is_told_of_when_it_opens_and_when_it_closes() -> None:
    scores = [0.5, 1.2, 1.2, 0.9, 0.86, 0.2, 0.9, 0.8, 0.84, 0.9]

    assert states(scores) == [("opened", 2), ("closed", 8)]


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

    decisions = tracker.update(*scored({0: [1, 0, 0], 1: [1, 1], 3: [0, 1]}), REACH[:4])

    assert [event.unit for event in decisions.events] == ["unit-1"]
    assert tracker.n_open == 1


def test_a_window_is_open_from_the_opening_score_to_the_one_before_the_closing() -> None:
    tracker = IncidentTracker(RULE)

    decisions = tracker.update(*scored({0: [1, 1, 0, 1, 0, 0, 1], 1: [0.0]}), REACH[:2])

    assert decisions.is_open_B.tolist() == [False, *[True] * 4, False, False, False]


@given(
    scores=st.lists(
        st.sampled_from([0.2, 0.84, 0.9, 1.0, 1.4, 1.9, 2.0, 3.1, 9.0]), max_size=40
    ),
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
    whole = at_once.update(*scored({0: scores}), REACH[:1])
    bounds = [0, *sorted(min(cut, len(scores)) for cut in cuts), len(scores)]

    events: list[Event] = []
    is_open: list[bool] = []
    for begin, end in itertools.pairwise(bounds):
        decisions = in_polls.update(*scored({0: scores[begin:end]}, begin), REACH[:1])
        events += decisions.events
        is_open += decisions.is_open_B.tolist()

    assert [plain(event) for event in events] == [plain(event) for event in whole.events]
    assert is_open == whole.is_open_B.tolist()
    assert in_polls.n_open == at_once.n_open


def test_a_forgotten_unit_has_no_incident_and_no_scores_behind_it() -> None:
    tracker = IncidentTracker(RULE)
    tracker.update(*scored({0: [1, 1], 1: [1], 2: [1, 1]}), REACH[:3])

    tracker.forget(np.array([0, 1]))

    decisions = tracker.update(*scored({0: [1, 0], 1: [1, 0], 2: [1, 0]}), REACH[:3])
    assert decisions.events == []
    assert decisions.is_open_B.tolist() == [False, False, False, False, True, True]
    assert tracker.n_open == 1


def test_a_row_that_never_had_a_score_may_be_forgotten() -> None:
    IncidentTracker(RULE).forget(np.array([5]))  # raises nothing


def test_an_open_incident_does_not_change_when_the_polls_arrays_do() -> None:
    tracker = IncidentTracker(RULE)
    readings, windows, scores = scored({0: [1.5, 1.5]})
    tracker.update(readings, windows, scores, REACH[:1])
    scores.observed_BF[:] = -1.0

    [closed] = follow(tracker, [0.0, 0.0])

    assert closed.explanation.observed_F.tolist() == [1.5, 3.0]


def plain(event: Event) -> tuple[object, ...]:
    """An event whose arrays compare by value."""
    arrays = tuple(tuple(array_F.tolist()) for array_F in event.explanation)
    return (*event._replace(explanation=arrays),)  # type: ignore[arg-type]


def test_a_restored_incident_goes_on_as_if_it_had_been_opened_here() -> None:
    whole = IncidentTracker(RULE)
    expected = follow(whole, [1.0, 1.2, 3.0, 1.0, 0.1, 0.1])

    before, after = IncidentTracker(RULE), IncidentTracker(RULE)
    follow(before, [1.0, 1.2, 3.0])
    (incident,) = before.open_incidents().values()
    after.restore(0, replace(incident, is_restored=True), n_rows=1)
    (closed,) = follow(after, [1.0, 0.1, 0.1], first_index=3)

    assert contents(closed) == contents(expected[-1])


@pytest.mark.parametrize("is_open", [True, False])
def test_read_again_only_what_is_known_to_be_open_is_opened(is_open: bool) -> None:
    tracker = IncidentTracker(RULE)
    asked: list[tuple[Partition, str]] = []

    def reopens(partition: Partition, unit: str, opened_at_s: float) -> bool:
        asked.append((partition, unit))
        return is_open

    tracker.update(*scored({0: [1.0, 1.2, 1.3]}), REACH[:1], reopens)

    assert set(asked) == {(Partition("readings", 0), "unit-0")}
    assert tracker.n_open == is_open


def test_a_restored_incident_stays_as_it_is_while_its_readings_are_read_again() -> None:
    before = IncidentTracker(RULE)
    follow(before, [1.0, 1.2])
    (incident,) = before.open_incidents().values()
    tracker = IncidentTracker(RULE)
    tracker.restore(0, replace(incident, is_restored=True), n_rows=1)

    # Without a past scores are too low at first, and would close it.
    readings, windows, scores = scored({0: [0.0, 0.0, 0.0, 1.2, 0.1]})
    decisions = tracker.update(readings, windows, scores, REACH[:1], lambda *_: False)

    assert decisions.events == []
    assert decisions.is_open_B.all()
    assert [event.state for event in follow(tracker, [0.1], first_index=5)] == ["closed"]


def test_an_incident_knows_from_where_its_readings_bring_it_about_again() -> None:
    tracker = IncidentTracker(RULE)

    tracker.update(*scored({0: [1, 1], 2: [1, 1]}), REACH[:3])

    open_incidents = tracker.open_incidents()
    assert {row: each.replay_from for row, each in open_incidents.items()} == {0: 7, 2: 9}


def contents(event: Event) -> object:
    return [*event[:6], *(part.tolist() for part in event.explanation), *event[7:]]
