"""Sliding windows: cut from history for training, and grown live, one poll at a time."""

from dataclasses import dataclass
from typing import TypeVar

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

Scalar = TypeVar("Scalar", bound=np.generic)


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


@dataclass(frozen=True, slots=True)
class LiveWindows:
    """The windows that one poll's readings completed, grouped by unit, each in order."""

    windows: Windows
    reading_B: IntArray
    """Index, within the poll's readings, of each window's newest reading."""
    row_B: IntArray
    """The unit's row, see `Units`."""
    first_offset_B: IntArray
    """Offset of each window's oldest reading."""
    n_late: int
    """Readings older than their unit's newest: left out of every window."""

    def __len__(self) -> int:
        return len(self.windows)


class SlidingWindows:
    """Turns each new reading into the window that ends with it.

    Owns each unit's last T-1 readings and the time of its newest. A unit's first window
    comes with its T-th reading.
    """

    def __init__(self, length: int, n_sensors: int) -> None:
        self._length = length
        self._values_UTF = np.empty((0, length - 1, n_sensors), dtype=np.float32)
        self._offset_UT = np.empty((0, length - 1), dtype=np.int64)
        self._n_kept_U = np.empty(0, dtype=np.int64)
        self._newest_s_U = np.empty(0, dtype=np.float64)

    @staticmethod
    def bytes_per_unit(length: int, n_sensors: int) -> int:
        """Memory that one unit's state takes, its name not counted."""
        return (length - 1) * (4 * n_sensors + 8) + 16

    def extend(self, readings: Readings, row_N: IntArray, n_rows: int) -> LiveWindows:
        """Append one poll's readings and return the windows they complete.

        Args:
            readings: N readings, each unit's in the order of their offsets.
            row_N: each reading's row.
            n_rows: rows given out so far; the arrays grow to hold them.
        """
        self._grow(n_rows)
        by_unit_N = np.argsort(row_N, kind="stable")
        late_N = self._late(readings.time_s_N[by_unit_N], row_N[by_unit_N])
        reading_N = by_unit_N[~late_N]
        row_N = row_N[reading_N]
        n_kept = self._length - 1

        first_G = group_starts(row_N)
        row_G = row_N[first_G]
        size_G = np.diff(first_G, append=len(row_N))
        group_N = np.repeat(np.arange(len(first_G)), size_G)
        rank_N = np.arange(len(row_N)) - first_G[group_N]

        # One flat array: for each unit what was kept of it, then what is new.
        begin_G = first_G + n_kept * np.arange(len(first_G))
        kept_GT = begin_G[:, None] + np.arange(n_kept)
        new_N = begin_G[group_N] + n_kept + rank_N
        n_flat = len(row_N) + n_kept * len(first_G)
        flat_MF = np.empty((n_flat, self._values_UTF.shape[2]), dtype=np.float32)
        flat_MF[kept_GT] = self._values_UTF[row_G]
        flat_MF[new_N] = readings.values_NF[reading_N]
        offset_M = np.empty(n_flat, dtype=np.int64)
        offset_M[kept_GT] = self._offset_UT[row_G]
        offset_M[new_N] = readings.offset_N[reading_N]

        full_N = self._n_kept_U[row_G][group_N] + rank_N >= n_kept
        start_B = new_N[full_N] - n_kept

        tail_GT = kept_GT + size_G[:, None]
        self._values_UTF[row_G] = flat_MF[tail_GT]
        self._offset_UT[row_G] = offset_M[tail_GT]
        self._n_kept_U[row_G] = np.minimum(self._n_kept_U[row_G] + size_G, n_kept)
        self._newest_s_U[row_G] = readings.time_s_N[reading_N[first_G + size_G - 1]]

        return LiveWindows(
            windows=Windows(flat_MF, start_B, self._length),
            reading_B=reading_N[full_N],
            row_B=row_N[full_N],
            first_offset_B=offset_M[start_B],
            n_late=int(late_N.sum()),
        )

    def forget(self, rows: IntArray) -> None:
        """Clear these rows: the next unit in each starts cold."""
        rows = rows[rows < len(self._n_kept_U)]
        self._n_kept_U[rows] = 0
        self._newest_s_U[rows] = -np.inf

    def _late(self, time_s_N: TimeArray, row_N: IntArray) -> BoolArray:
        """Which readings (sorted by row) are older than one of their unit before them."""
        first_G = group_starts(row_N)
        before_N = np.empty_like(time_s_N)
        before_N[1:] = time_s_N[:-1]
        before_N[first_G] = self._newest_s_U[row_N[first_G]]
        late_N = time_s_N < before_N
        if not late_N.any():
            return late_N
        # Rare: only a unit with a step back needs its running maximum.
        end_G = np.append(first_G[1:], len(row_N))
        for group in np.flatnonzero(np.logical_or.reduceat(late_N, first_G)).tolist():
            unit = slice(first_G[group], end_G[group])
            newest_s = self._newest_s_U[row_N[first_G[group]]]
            running_s = np.maximum(np.maximum.accumulate(time_s_N[unit]), newest_s)
            late_N[unit] = time_s_N[unit] < running_s
        return late_N

    def _grow(self, n_rows: int) -> None:
        n_new = n_to_add(len(self._n_kept_U), n_rows)
        if n_new == 0:
            return
        self._values_UTF = extended(self._values_UTF, n_new, 0)
        self._offset_UT = extended(self._offset_UT, n_new, 0)
        self._n_kept_U = extended(self._n_kept_U, n_new, 0)
        self._newest_s_U = extended(self._newest_s_U, n_new, -np.inf)


def n_to_add(n_old: int, n_rows: int) -> int:
    """Rows to add to arrays of `n_old` so that they hold `n_rows`, 0 if they do.

    Half as much again each time, so that growing by one unit a poll stays cheap.
    """
    return 0 if n_rows <= n_old else max(n_rows, n_old + n_old // 2) - n_old


def extended(array_U: npt.NDArray[Scalar], n_new: int, fill: float) -> npt.NDArray[Scalar]:
    """`array_U` with `n_new` rows more, each holding `fill`."""
    added = np.full((n_new, *array_U.shape[1:]), fill, dtype=array_U.dtype)
    return np.concatenate([array_U, added])
