"""Scores to openings and closings: the rule alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.trigger import RELEASE_SCORE, IncidentRule, UnitState, transitions

RULE = IncidentRule(n_over=2, n_last=3, n_recovery=2)
JUST_BELOW = float(np.nextafter(np.float32(RELEASE_SCORE), np.float32(0)))
LEVELS = [0.0, JUST_BELOW, RELEASE_SCORE, 0.99, 1.0, 2.5]

rules = st.builds(
    lambda n_last, n_over, n_recovery: IncidentRule(
        min(n_over, n_last), n_last, n_recovery
    ),
    *[st.integers(1, 5)] * 3,
)


def changes(
    scores: list[float], rule: IncidentRule = RULE, state: UnitState | None = None
) -> list[tuple[str, int]]:
    """What happens to one unit with these scores, and at which of them."""
    score_B = np.array(scores, np.float32)
    found = transitions(score_B, rule, UnitState() if state is None else state)
    return [("opened" if is_open else "closed", b) for b, is_open in found]


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
    assert changes(scores) == [("opened", opens_at)]


@pytest.mark.parametrize(
    "scores", [[], [0.99] * 9, [1.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]]
)
def test_fewer_open_none(scores: list[float]) -> None:
    assert changes(scores) == []


def test_an_incident_is_released_below_085() -> None:
    assert RELEASE_SCORE == 0.85


def test_m_scores_in_a_row_below_the_release_score_close_it() -> None:
    assert changes([1, 1, 0.5, 1, 0.5, 0.5, 0.5]) == [("opened", 1), ("closed", 5)]
    assert changes([1, 1, JUST_BELOW, JUST_BELOW]) == [("opened", 1), ("closed", 3)]


@pytest.mark.parametrize("held_at", [RELEASE_SCORE, 0.9, 0.99])
def test_scores_that_waver_just_below_the_threshold_hold_it_open(held_at: float) -> None:
    assert changes([1, 1, *[held_at] * 9]) == [("opened", 1)]
    assert changes([1, 1, 0.5, held_at, 0.5, held_at]) == [("opened", 1)]


@pytest.mark.parametrize("held_at", [RELEASE_SCORE, 0.99])
def test_what_holds_an_incident_open_opens_none(held_at: float) -> None:
    assert changes([1.0, held_at, held_at, held_at, 1.0]) == []


def test_a_closed_incident_does_not_count_towards_the_next() -> None:
    rule = IncidentRule(n_over=2, n_last=3, n_recovery=3)

    assert changes([1, 1, 0, 0, 0, 1, 0, 1], rule) == [
        ("opened", 1),
        ("closed", 4),
        ("opened", 7),
    ]


def test_unless_the_rule_looks_further_back_than_it_takes_to_recover() -> None:
    rule = IncidentRule(n_over=2, n_last=10, n_recovery=1)

    assert changes([1, 1, 0, 0, 1], rule) == [("opened", 1), ("closed", 2), ("opened", 4)]


def test_a_rule_may_look_back_over_64_scores() -> None:
    rule = IncidentRule(n_over=64, n_last=64, n_recovery=1)

    assert changes([1.0] * 63, rule) == []
    assert changes([1.0] * 64, rule) == [("opened", 63)]


@given(scores=st.lists(st.sampled_from(LEVELS), max_size=40), rule=rules)
def test_changes_are_those_of_the_rule_read_out_word_by_word(
    scores: list[float], rule: IncidentRule
) -> None:
    n_over, n_last, n_recovery = rule
    expected: list[tuple[str, int]] = []
    open_since = -1
    for i in range(len(scores)):
        of_rule = scores[max(0, i + 1 - n_last) : i + 1]
        recent = scores[i + 1 - n_recovery : i + 1]
        if open_since < 0:
            n_of_rule = sum(score >= 1.0 for score in of_rule)
            if scores[i] >= 1.0 and n_of_rule >= n_over:
                expected.append(("opened", i))
                open_since = i
        elif i - open_since >= n_recovery and max(recent) < RELEASE_SCORE:
            expected.append(("closed", i))
            open_since = -1

    assert changes(scores, rule) == expected


@given(
    scores=st.lists(st.sampled_from(LEVELS), max_size=40),
    cuts=st.lists(st.integers(0, 40)),
    rule=rules,
)
def test_how_a_series_is_cut_up_changes_nothing(
    scores: list[float], cuts: list[int], rule: IncidentRule
) -> None:
    bounds = [0, *sorted(min(cut, len(scores)) for cut in cuts), len(scores)]
    whole, in_pieces = UnitState(), UnitState()
    expected = changes(scores, rule, whole)

    found = [
        (change, begin + b)
        for begin, end in itertools.pairwise(bounds)
        for change, b in changes(scores[begin:end], rule, in_pieces)
    ]

    assert found == expected
    assert in_pieces == whole
