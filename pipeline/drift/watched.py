"""How long units were watched, by their readings' own times."""

import numpy as np

from pipeline.events import MAX_USUAL_STEPS
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.trail import extended, n_to_add
from pipeline.window import Arrived

MIN_RATIO, MAX_RATIO = 0.5, 1.5
"""A step counts as no less and no more, of its unit's usual one, when that is learned: a
gap moves it little, and a few ordinary steps move it back."""


class Watched:
    """Owns each unit's usual step between two readings, in 4 bytes: a running mean."""

    def __init__(self) -> None:
        self._usual_s_U = np.empty(0, dtype=np.float32)

    @property
    def usual_s_U(self) -> FloatArray:  # noqa: N802 - a shape suffix, as everywhere
        """Each unit's usual step, by row; NaN where none is known."""
        return self._usual_s_U

    def extend(self, arrived: Arrived) -> float:
        """Learn from one poll's readings, and return how long their units were watched.

        Returns:
            Seconds, summed over units, see `extend_each`.
        """
        return float(self.extend_each(arrived).sum())

    def extend_each(self, arrived: Arrived) -> TimeArray:
        """Learn from one poll's readings, and return how long each step was watched.

        Returns:
            Seconds (N,), in the order of `arrived.reading_N`: since the one before it of
            its unit, without the gaps. A step counts as at most five usual ones, as in
            `pipeline.events.watched_s`; 0 where a unit starts.
        """
        step_s_N, row_G, n_G = arrived.step_s_N, arrived.row_G, arrived.n_G
        if not len(step_s_N):
            return np.empty(0, dtype=np.float64)
        n_new = n_to_add(len(self._usual_s_U), int(row_G[-1]) + 1)
        if n_new:
            self._usual_s_U = extended(self._usual_s_U, n_new, np.nan)
        # Of many units each sends one reading.
        is_one_each = len(row_G) == len(step_s_N)
        first_G = np.cumsum(n_G) - n_G
        usual_s_G = self._usual_s_U[row_G].astype(np.float64)
        # Where a unit starts, another one may have had its row.
        usual_s_G[np.isnan(step_s_N[first_G])] = np.nan
        is_step_N = step_s_N > 0
        is_new_G = np.isnan(usual_s_G)
        if is_new_G.any():
            first_s_G = _geometric_means(step_s_N, is_step_N, first_G)
            usual_s_G[is_new_G] = first_s_G[is_new_G]
        usual_s_N = usual_s_G if is_one_each else np.repeat(usual_s_G, n_G)
        ratio_N = np.minimum(np.maximum(step_s_N / usual_s_N, MIN_RATIO), MAX_RATIO)
        # Readings of the same time say nothing, nor does a unit's first one.
        ratio_N[~is_step_N] = 1.0
        ratio_G = ratio_N if is_one_each else np.add.reduceat(ratio_N, first_G) / n_G
        self._usual_s_U[row_G] = usual_s_G * ratio_G
        watched_s_N = np.minimum(step_s_N, MAX_USUAL_STEPS * usual_s_N)
        watched_s_N[~is_step_N] = 0.0
        return np.asarray(watched_s_N)


def _geometric_means(
    step_s_N: TimeArray, is_step_N: BoolArray, first_G: IntArray
) -> TimeArray:
    """Of each unit's steps, in which a single gap counts for little; NaN of none."""
    log_N = np.log(step_s_N, out=np.zeros_like(step_s_N), where=is_step_N)
    n_G = np.add.reduceat(is_step_N, first_G, dtype=np.float64)
    n_G[n_G == 0] = np.nan
    return np.asarray(np.exp(np.add.reduceat(log_N, first_G) / n_G))
