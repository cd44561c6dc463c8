"""Sliding windows: cut from history for training, and grown live, one poll at a time."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.records import (
    BoolArray,
    FloatArray,
    IntArray,
    Readings,
    TimeArray,
    group_starts,
)
from pipeline.trail import Trails, extended, n_to_add

UNIT_IDLE_S = 7 * 86_400.0
"""By default; in the unit's own time."""


@dataclass(frozen=True, slots=True)
class Windows:
    """B windows of T consecutive readings, as positions in one shared array.

    They are gathered only when asked for, so overlap costs no memory.
    """

    flat_MF: FloatArray
    """Readings of all units, one after the other; a window is T rows in a row."""
    start_B: IntArray
    length: int
    """T."""

    def __len__(self) -> int:
        return len(self.start_B)

    def gather(self, index: IntArray | slice) -> FloatArray:
        """The windows at these positions, shape (len(index), T, F). A copy."""
        if len(self.flat_MF) < self.length:
            return np.empty((0, self.length, self.flat_MF.shape[1]), dtype=np.float32)
        views_MFT = sliding_window_view(self.flat_MF, self.length, axis=0)
        return views_MFT[self.start_B[index]].transpose(0, 2, 1)


def cut_windows(values_NF: FloatArray, length: int, stride: int = 1) -> Windows:
    """Every window of one unit's history: `length` readings, each `stride` after the last.

    Readings at the end that fill no window are left out.
    """
    start_B = np.arange(0, len(values_NF) - length + 1, stride, dtype=np.int64)
    return Windows(values_NF, start_B, length)


class Arrived(NamedTuple):
    """The readings of one poll that went into windows, by unit."""

    row_G: IntArray
    n_G: IntArray
    first_offset_G: IntArray
    """Of each unit's first."""
    reading_N: IntArray
    """Index, within the poll's readings, of each; those of one unit together."""
    step_s_N: TimeArray
    """Time since its unit's reading before it, >= 0; NaN where its unit starts with it."""


@dataclass(frozen=True, slots=True)
class LiveWindows:
    """The windows that readings of one poll completed, grouped by unit, each in order."""

    windows: Windows
    reading_B: IntArray
    """Index, within the poll's readings, of each window's newest reading."""
    row_B: IntArray
    """The unit's row, see `Units`."""
    first_offset_B: IntArray
    """Offset of each window's oldest reading."""
    arrived: Arrived
    anew: IntArray
    """Rows of units that were silent for long and start anew with the first of these."""
    n_late: int
    """Readings older than their unit's newest: left out of every window."""

    def __len__(self) -> int:
        return len(self.windows)


class SlidingWindows:
    """Turns each new reading into the window that ends with it.

    Owns each unit's last T-1 readings and the time of its newest. A unit's first window
    comes with its T-th reading, and so it does after a silence of more than `idle_s`. Of
    offsets the lower half is kept: in a million units' windows the upper one takes 124 MB.
    A window's oldest offset is exact as long as its partition has fewer than four billion
    records within the window, and never negative.
    """

    def __init__(self, length: int, n_sensors: int, idle_s: float = math.inf) -> None:
        self.idle_s = idle_s
        self._length = length
        self._trails = Trails(
            length - 1,
            np.empty((0, n_sensors), dtype=np.float32),
            np.empty(0, dtype=np.uint32),
        )
        self._newest_s_U = np.empty(0, dtype=np.float64)

    @property
    def newest_s_U(self) -> TimeArray:  # noqa: N802 - a shape suffix, as everywhere
        """Time of each unit's newest reading, by row; NaN where there is none."""
        return self._newest_s_U

    @staticmethod
    def bytes_per_unit(length: int, n_sensors: int) -> int:
        """Memory that one unit's state takes, its name not counted."""
        return (length - 1) * (4 * n_sensors + 4) + 16

    def extend(self, readings: Readings, row_N: IntArray, n_rows: int) -> list[LiveWindows]:
        """Append one poll's readings and return the windows they complete.

        Args:
            readings: N readings, each unit's in the order of their offsets.
            row_N: each reading's row.
            n_rows: rows given out so far; the arrays grow to hold them.

        Returns:
            One; more if a unit was silent for more than `idle_s` between two of these
            readings, each then to be dealt with before the next.
        """
        self._grow(n_rows)
        by_unit_N = np.argsort(row_N, kind="stable")
        row_N, time_s_N = row_N[by_unit_N], readings.time_s_N[by_unit_N]
        before_s_N = self._newest_before(time_s_N, row_N)
        anew_N = time_s_N - before_s_N > self.idle_s
        if not anew_N.any():
            return [self._append(readings, by_unit_N, row_N, before_s_N, anew_N)]
        stretch_N = _stretches(row_N, anew_N)
        parts = [np.flatnonzero(stretch_N == n) for n in range(stretch_N.max() + 1)]
        return [
            self._append(readings, by_unit_N[at], row_N[at], before_s_N[at], anew_N[at])
            for at in parts
        ]

    def _append(
        self,
        readings: Readings,
        reading_N: IntArray,
        row_N: IntArray,
        before_s_N: TimeArray,
        anew_N: BoolArray,
    ) -> LiveWindows:
        """Append some of a poll's readings.

        Args:
            readings: the poll's.
            reading_N: which of them, sorted by row.
            row_N: each one's row.
            before_s_N: the newest time of its unit before it, or NaN; older than that it
                is left out.
            anew_N: with which of them their unit starts anew; its first one here.
        """
        anew = row_N[anew_N]
        self._trails.forget(anew)
        step_s_N = readings.time_s_N[reading_N] - before_s_N
        step_s_N[anew_N] = np.nan
        late_N = step_s_N < 0
        if late_N.any():
            reading_N, row_N = reading_N[~late_N], row_N[~late_N]
            step_s_N = step_s_N[~late_N]
        offset_N = readings.offset_N[reading_N]
        (flat_MF, low_offset_M), position_N, n_before_N = self._trails.extend(
            row_N,
            len(self._newest_s_U),
            readings.values_NF[reading_N],
            offset_N.astype(np.uint32),
        )
        full_N = n_before_N == self._length - 1
        start_B = position_N[full_N] - (self._length - 1)
        first_G = group_starts(row_N)
        last_G = np.append(first_G[1:], len(row_N)) - 1 if len(first_G) else first_G
        self._newest_s_U[row_N[first_G]] = readings.time_s_N[reading_N[last_G]]
        return LiveWindows(
            windows=Windows(flat_MF, start_B, self._length),
            reading_B=reading_N[full_N],
            row_B=row_N[full_N],
            first_offset_B=_whole(low_offset_M[start_B], offset_N[full_N]),
            arrived=Arrived(
                row_N[first_G],
                np.diff(first_G, append=len(row_N)),
                offset_N[first_G],
                reading_N,
                step_s_N,
            ),
            anew=anew,
            n_late=int(late_N.sum()),
        )

    def forget(self, rows: IntArray) -> None:
        """Clear these rows: the next unit in each starts cold."""
        self._trails.forget(rows)
        self._newest_s_U[rows[rows < len(self._newest_s_U)]] = np.nan

    def _newest_before(self, time_s_N: TimeArray, row_N: IntArray) -> TimeArray:
        """Of each reading, sorted by row: the newest time of its unit before it, or NaN."""
        first_G = group_starts(row_N)
        before_s_N = np.empty_like(time_s_N)
        before_s_N[1:] = time_s_N[:-1]
        before_s_N[first_G] = self._newest_s_U[row_N[first_G]]
        late_N = time_s_N < before_s_N
        if not late_N.any():
            return before_s_N
        # Rare: only a unit with a step back needs its running maximum.
        end_G = np.append(first_G[1:], len(row_N))
        for group in np.flatnonzero(np.logical_or.reduceat(late_N, first_G)).tolist():
            unit = slice(first_G[group], end_G[group])
            before_s_N[unit] = np.fmax.accumulate(before_s_N[unit])
        return before_s_N

    def _grow(self, n_rows: int) -> None:
        n_new = n_to_add(len(self._newest_s_U), n_rows)
        if n_new:
            self._newest_s_U = extended(self._newest_s_U, n_new, np.nan)


def _stretches(row_N: IntArray, anew_N: BoolArray) -> IntArray:
    """The number of each reading's stretch (sorted by row): how often its unit started
    anew since its first one here."""
    first_G = group_starts(row_N)
    n_anew_N = np.cumsum(anew_N)
    return n_anew_N - np.repeat(n_anew_N[first_G], np.diff(first_G, append=len(row_N)))


def _whole(low_offset_B: npt.NDArray[np.uint32], later_B: IntArray) -> IntArray:
    """Offsets of which the lower half is known, from others less than 2**32 later."""
    whole_B = later_B - (later_B.astype(np.uint32) - low_offset_B).astype(np.int64)
    # Of a log that was cut off and begun anew the earlier offset is the larger.
    return np.maximum(whole_B, 0)
