"""Counts over a recent period."""

import math
from typing import Any

import numpy as np

from pipeline.records import IntArray

N_PARTS = 4


class Recent:
    """Owns counts of the parts of a period: the present one and those before it.

    So what is told covers three quarters of a period at least and a whole one at most, and
    never begins at nothing again. A part lasts longer where too few readings come in it.
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
        self._part_s = period_s / N_PARTS
        self._n_enough = n_enough
        self._counts = [_zeros(N_PARTS, shape) for shape in shapes]
        self._n_P = np.zeros(N_PARTS, dtype=np.int64)
        self._first_s_P = np.full(N_PARTS, math.inf)
        self._last_s_P = np.full(N_PARTS, -math.inf)
        self._part = 0
        self._began_s: float | None = None

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
        if self._began_s is None:
            self._began_s = now_s
        is_over = now_s - self._began_s >= self._part_s
        if is_over and self._n_P[self._part] >= self._n_enough / N_PARTS:
            self._began_s = now_s
            self._part = (self._part + 1) % N_PARTS
            for own in (self._n_P, *self._counts):
                own[self._part] = 0
            self._first_s_P[self._part] = math.inf
            self._last_s_P[self._part] = -math.inf
        part = self._part
        self._n_P[part] += n_readings
        self._first_s_P[part] = min(self._first_s_P[part], time_s)
        self._last_s_P[part] = max(self._last_s_P[part], time_s)
        for own, more in zip(self._counts, counts, strict=True):
            own[part] += more

    @property
    def n_readings(self) -> int:
        """Readings counted over the period."""
        return int(self._n_P.sum())

    @property
    def span_s(self) -> float:
        """Time from the first of them to the last by their own clocks; 0 if none are."""
        return max(float(self._last_s_P.max() - self._first_s_P.min()), 0.0)

    @property
    def is_enough(self) -> bool:
        """Whether there are as many as a period has at least."""
        return self.n_readings >= self._n_enough

    def totals(self) -> list[IntArray]:
        """The counts over the period, in the order of their shapes."""
        return [each.sum(axis=0) for each in self._counts]


def _zeros(n_parts: int, shape: int | tuple[int, ...]) -> IntArray:
    rest = (shape,) if isinstance(shape, int) else shape
    return np.zeros((n_parts, *rest), dtype=np.int64)
