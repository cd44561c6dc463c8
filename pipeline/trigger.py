"""The rule that turns one unit's scores into the opening and closing of incidents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.records import FloatArray

RELEASE_SCORE = 0.85
"""An open incident is not over while scores waver just below the threshold."""


class IncidentRule(NamedTuple):
    """When scores become an incident, and when it ends."""

    n_over: int
    """k: that many of the last `n_last` scores at or above 1.0, the newest among them, open
    an incident."""
    n_last: int
    """n, 1 to 64."""
    n_recovery: int
    """m: that many scores in a row below `RELEASE_SCORE` close it."""


@dataclass(slots=True)
class UnitState:
    """What the rule remembers of one unit.

    But for `is_open` it is a function of the last scores alone, at most the larger of n and
    m of them: who takes a unit over needs no more of its past.
    """

    over_bits: int = 0
    """The last n scores against the threshold, newest in the lowest bit."""
    n_below: int = 0
    """Scores in a row below `RELEASE_SCORE`, while open."""
    is_open: bool = False


def transitions(
    score_B: FloatArray, rule: IncidentRule, state: UnitState
) -> Iterator[tuple[int, bool]]:
    """Follow one unit's scores and yield each change: its index, and whether open after.

    `state` is carried on, so a series gives the same changes however it is cut up.

    Args:
        score_B: the scores, in order.
        rule: when to open and to close.
        state: as the series before left it.
    """
    mask = (1 << rule.n_last) - 1
    over_B, holds_B = score_B >= 1.0, score_B >= RELEASE_SCORE
    over_indices = np.flatnonzero(over_B)
    over, holds = over_B.tolist(), holds_B.tolist()
    b = 0
    while b < len(over):
        if not state.is_open and state.over_bits == 0 and not over[b]:
            # Nothing can happen before the next score above the threshold.
            next_over = np.searchsorted(over_indices, b)
            if next_over == len(over_indices):
                return
            b = int(over_indices[next_over])
        state.over_bits = (state.over_bits << 1 | over[b]) & mask
        if state.is_open:
            state.n_below = 0 if holds[b] else state.n_below + 1
            if state.n_below >= rule.n_recovery:
                state.is_open, state.n_below = False, 0
                yield b, False
        elif over[b] and state.over_bits.bit_count() >= rule.n_over:
            state.is_open = True
            yield b, True
        b += 1


def observe(score_B: FloatArray, rule: IncidentRule, state: UnitState) -> None:
    """Follow the scores of a unit whose incident is known to stay open throughout.

    Only the first scores of a unit that is rebuilt would say otherwise: these lack a past.
    """
    mask = (1 << rule.n_last) - 1
    for over, holds in zip(
        (score_B >= 1.0).tolist(), (score_B >= RELEASE_SCORE).tolist(), strict=True
    ):
        state.over_bits = (state.over_bits << 1 | over) & mask
        state.n_below = 0 if holds else min(state.n_below + 1, rule.n_recovery - 1)
