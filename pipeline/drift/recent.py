"""Counts over a recent period."""

import math
from typing import Any

import numpy as np

from pipeline.records import BoolArray, IntArray

N_PARTS = 4
N_TIMES_ENOUGH = 2
"""A period with so many times the minimum is a busy one: a part less leaves enough."""


class Recent:
    """Owns counts of the parts of a period: the present one and those before it.

    Where readings come, what is told covers three quarters of a period at least and a whole
    one at most, and never begins at nothing again. Readings that are rare by nature make up
    the minimum number all the same: a part lasts until it has its share of that, and counts
    until later parts have it.

    The period wins over the number where the number says nothing of rarity. What a busy
    period counted is too old once a period has passed, however few readings follow it. And
    after a silence longer than all that is counted took, as after one longer than the
    period, all of it is.
    """

    def __init__(
        self, period_s: float, n_enough: int, *shapes: int | tuple[int, ...]
    ) -> None:
        """Start with nothing counted.

        Args:
            period_s: its length.
            n_enough: readings that a period has at least.
            shapes: of the arrays of counts.
        """
        self._period_s = period_s
        self._part_s = period_s / N_PARTS
        self._n_enough = n_enough
        # All but the present part make up the minimum.
        self._n_of_part = math.ceil(n_enough / (N_PARTS - 1))
        self._counts = [_zeros(N_PARTS, shape) for shape in shapes]
        self._n_P = np.zeros(N_PARTS, dtype=np.int64)
        self._first_s_P = np.full(N_PARTS, math.inf)
        self._last_s_P = np.full(N_PARTS, -math.inf)
        self._began_s_P = np.full(N_PARTS, -math.inf)
        self._part = 0
        self._added_at_s = -math.inf
        # What began by then counts for a period and no longer.
        self._busy_at_s = -math.inf

    def add(
        self, n_readings: int, time_s: float, now_s: float, *counts: np.ndarray[Any, Any]
    ) -> None:
        """Add counts of so many readings.

        Args:
            n_readings: that are counted.
            time_s: of these readings by their own clocks, about.
            now_s: of the monotonic clock.
            counts: of each array.
        """
        if self._added_at_s == -math.inf:
            self._began_s_P[self._part] = now_s
        if self._is_silent_for_long(now_s):
            self._busy_at_s = self._added_at_s
        if self._is_part_over(now_s):
            self._begin_part(now_s)
        part = self._part
        self._n_P[part] += n_readings
        self._first_s_P[part] = min(self._first_s_P[part], time_s)
        self._last_s_P[part] = max(self._last_s_P[part], time_s)
        for own, more in zip(self._counts, counts, strict=True):
            own[part] += more
        self._added_at_s = now_s
        is_new_P = now_s - self._began_s_P < self._period_s
        if self._n_P[is_new_P].sum() >= N_TIMES_ENOUGH * self._n_enough:
            self._busy_at_s = now_s

    def n_readings(self, now_s: float) -> int:
        """Readings that count now."""
        return int(self._n_P[self._is_told_P(now_s)].sum())

    def span_s(self, now_s: float) -> float:
        """Time from the first of them to the last by their own clocks; 0 if none are."""
        is_told_P = self._is_told_P(now_s)
        last_s = self._last_s_P.max(where=is_told_P, initial=-math.inf)
        return max(
            float(last_s - self._first_s_P.min(where=is_told_P, initial=math.inf)), 0.0
        )

    def is_enough(self, now_s: float) -> bool:
        """Whether there are as many as a period has at least."""
        return self.n_readings(now_s) >= self._n_enough

    def totals(self, now_s: float) -> list[IntArray]:
        """The counts over the period, in the order of their shapes."""
        is_told_P = self._is_told_P(now_s)
        return [each[is_told_P].sum(axis=0) for each in self._counts]

    def _is_part_over(self, now_s: float) -> bool:
        began_s = self._began_s_P[self._part]
        if now_s - began_s < self._part_s:
            return False
        return bool(self._n_P[self._part] >= self._n_of_part or began_s <= self._busy_at_s)

    def _begin_part(self, now_s: float) -> None:
        """Begin the part that it is now: as many further on as have passed."""
        began_s = float(self._began_s_P[self._part])
        n_passed = (now_s - began_s) // self._part_s
        self._part = (self._part + 1) % N_PARTS
        self._began_s_P[self._part] = began_s + n_passed * self._part_s
        for own in (self._n_P, *self._counts):
            own[self._part] = 0
        self._first_s_P[self._part] = math.inf
        self._last_s_P[self._part] = -math.inf

    def _is_recent_P(self, now_s: float) -> BoolArray:  # noqa: N802
        """Which parts count, whatever silence there is."""
        is_new_P = now_s - self._began_s_P < self._period_s
        return np.asarray(is_new_P | (self._began_s_P > self._busy_at_s))

    def _is_told_P(self, now_s: float) -> BoolArray:  # noqa: N802
        if self._is_silent_for_long(now_s):
            return np.zeros(N_PARTS, dtype=np.bool_)
        return self._is_recent_P(now_s)

    def _is_silent_for_long(self, now_s: float) -> bool:
        """Whether what is counted is of before a silence, and no rarity explains that."""
        silent_s = now_s - self._added_at_s
        if silent_s <= self._period_s:
            return False
        is_recent_P = self._is_recent_P(now_s)
        # Fewer are not told. That they are so few may be what is usual.
        if self._n_P[is_recent_P].sum() < self._n_enough:
            return False
        began_s = float(self._began_s_P.min(where=is_recent_P, initial=math.inf))
        return silent_s > self._added_at_s - began_s


def _zeros(n_parts: int, shape: int | tuple[int, ...]) -> IntArray:
    rest = (shape,) if isinstance(shape, int) else shape
    return np.zeros((n_parts, *rest), dtype=np.int64)
