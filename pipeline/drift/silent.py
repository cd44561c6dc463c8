"""Units of which nothing is seen any more, among others that go on."""

from typing import NamedTuple

import numpy as np

from pipeline.events import MAX_USUAL_STEPS
from pipeline.records import FloatArray, IntArray, TimeArray
from pipeline.trail import extended, n_to_add


class SilentUnits(NamedTuple):
    """Rows of units, by what is known of them at one moment."""

    rows: IntArray
    newly: IntArray
    """Those of them that were not silent at the look before."""


class Silent:
    """Owns when a reading of each unit was last taken, in 4 bytes, by the worker's clock.

    Not by the readings' own times: a clock that was ahead for one reading makes all later
    ones of its unit late, and those count as none, while every other sign of it looks well.
    """

    def __init__(self, after_s: float) -> None:
        """Start with nothing seen.

        Args:
            after_s: a unit is silent for no less, nor for less than a few usual steps.
        """
        self._after_s = after_s
        self._began_s: float | None = None
        self._looked_at_s = 0.0
        self._seen_s_U = np.empty(0, dtype=np.float32)

    def extend(self, row_G: IntArray, now_s: float) -> None:
        """These units' readings were taken; `now_s` is of the monotonic clock."""
        if not len(row_G):
            return
        n_new = n_to_add(len(self._seen_s_U), int(row_G[-1]) + 1)
        if n_new:
            self._seen_s_U = extended(self._seen_s_U, n_new, np.nan)
        self._seen_s_U[row_G] = self._since_begin_s(now_s)

    def look(
        self, newest_s_U: TimeArray, usual_s_U: FloatArray, now_s: float
    ) -> SilentUnits:
        """Which units are silent now.

        Args:
            newest_s_U: time of each unit's newest reading; NaN where there is no unit.
            usual_s_U: each unit's usual step; NaN where none is known.
            now_s: of the monotonic clock.
        """
        n = min(len(newest_s_U), len(usual_s_U), len(self._seen_s_U))
        after_s_U = np.fmax(self._after_s, MAX_USUAL_STEPS * usual_s_U[:n])
        begins_s_U = self._seen_s_U[:n] + after_s_U
        begins_s_U[np.isnan(newest_s_U[:n])] = np.nan
        looked_at_s, self._looked_at_s = self._looked_at_s, self._since_begin_s(now_s)
        rows: IntArray = np.flatnonzero(begins_s_U < self._looked_at_s)
        return SilentUnits(rows, rows[begins_s_U[rows] >= looked_at_s])

    def seen_s_ago(self, row: int, now_s: float) -> float:
        """How long ago a reading of this unit was taken."""
        return self._since_begin_s(now_s) - float(self._seen_s_U[row])

    def _since_begin_s(self, now_s: float) -> float:
        # Small, so that 32 bits tell the second for half a year of running.
        if self._began_s is None:
            self._began_s = now_s
        return now_s - self._began_s
