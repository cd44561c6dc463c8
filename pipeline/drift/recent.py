"""Counts over a recent period."""

from typing import Any

import numpy as np

from pipeline.records import IntArray


class Recent:
    """Owns counts of the present half of a period and of the half before it.

    So what is told covers between half a period and a whole one, and never begins at
    nothing again. A half lasts longer where too few readings come in it.
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
        self._half_s = period_s / 2
        self._n_enough = n_enough
        self._before = [np.zeros(shape, dtype=np.int64) for shape in shapes]
        self._now = [np.zeros(shape, dtype=np.int64) for shape in shapes]
        self._n_before = 0
        self._n_now = 0
        self._began_s: float | None = None

    def add(self, n_readings: int, now_s: float, *counts: np.ndarray[Any, Any]) -> None:
        """Add counts of so many readings; `now_s` is of the monotonic clock."""
        if self._began_s is None:
            self._began_s = now_s
        is_over = now_s - self._began_s >= self._half_s
        if is_over and self._n_now >= self._n_enough / 2:
            self._before, self._n_before = self._now, self._n_now
            self._now = [np.zeros_like(each) for each in self._now]
            self._n_now, self._began_s = 0, now_s
        self._n_now += n_readings
        for own, more in zip(self._now, counts, strict=True):
            own += more

    @property
    def n_readings(self) -> int:
        """Readings counted over the period."""
        return self._n_before + self._n_now

    @property
    def is_enough(self) -> bool:
        """Whether there are as many as a period has at least."""
        return self.n_readings >= self._n_enough

    def totals(self) -> list[IntArray]:
        """The counts over the period, in the order of their shapes."""
        return [a + b for a, b in zip(self._before, self._now, strict=True)]
