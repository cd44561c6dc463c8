"""How long units were watched, by their readings' own times."""

import numpy as np

from pipeline.events import MAX_USUAL_STEPS
from pipeline.records import IntArray, TimeArray
from pipeline.trail import extended, n_to_add
from pipeline.window import Arrived

MAX_MOVE = 0.5
"""Of the logarithm of a unit's usual step, by one reading or by those of one poll: a gap
moves it by two thirds at most, and a few ordinary steps move it back."""


class Watched:
    """Owns each unit's usual step between two readings, in 4 bytes."""

    def __init__(self) -> None:
        self._usual_s_U = np.empty(0, dtype=np.float32)

    def extend(self, arrived: Arrived) -> float:
        """Learn from one poll's readings, and return how long their units were watched.

        Returns:
            Seconds, summed over units: from reading to reading, without the gaps. A step
            counts as at most five usual ones, as in `pipeline.events.watched_s`.
        """
        step_s_N, row_G = arrived.step_s_N, arrived.row_G
        if not len(step_s_N):
            return 0.0
        n_new = n_to_add(len(self._usual_s_U), int(row_G.max()) + 1)
        if n_new:
            self._usual_s_U = extended(self._usual_s_U, n_new, np.nan)
        first_G = np.cumsum(arrived.n_G) - arrived.n_G
        usual_s_G = self._usual_s_U[row_G].astype(np.float64)
        # Where a unit starts, another one may have had its row.
        usual_s_G[np.isnan(step_s_N[first_G])] = np.nan
        usual_s_G = _moved(usual_s_G, step_s_N, arrived.n_G, first_G)
        self._usual_s_U[row_G] = usual_s_G
        longest_s_N = np.repeat(MAX_USUAL_STEPS * usual_s_G, arrived.n_G)
        # Neither has a unit's first reading a step, nor do steps of 0 s have a usual one.
        return float(np.nansum(np.minimum(step_s_N, longest_s_N)))


def _moved(
    usual_s_G: TimeArray, step_s_N: TimeArray, n_G: IntArray, first_G: IntArray
) -> TimeArray:
    """Each unit's usual step after these; NaN where there was none yet.

    On a scale of logarithms, a mean in which no step counts for more than `MAX_MOVE`.
    Steps of 0 s say nothing.
    """
    is_step_N = step_s_N > 0
    log_N = np.log(step_s_N, out=np.zeros_like(step_s_N), where=is_step_N)
    n_steps_G = np.add.reduceat(is_step_N, first_G, dtype=np.float64)
    has_steps_G = n_steps_G > 0
    n_steps_G = np.maximum(n_steps_G, 1.0)
    log_usual_G = np.log(usual_s_G)
    is_new_G = has_steps_G & np.isnan(usual_s_G)
    if is_new_G.any():
        mean_G = np.add.reduceat(log_N, first_G) / n_steps_G
        log_usual_G[is_new_G] = mean_G[is_new_G]
    move_N = np.clip(log_N - np.repeat(log_usual_G, n_G), -MAX_MOVE, MAX_MOVE)
    move_N[~is_step_N] = 0.0
    return np.asarray(np.exp(log_usual_G + np.add.reduceat(move_N, first_G) / n_steps_G))
