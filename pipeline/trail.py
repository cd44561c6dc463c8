"""The newest rows of every unit, kept from one poll to the next."""

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.records import IntArray, group_starts

Scalar = TypeVar("Scalar", bound=np.generic)

PART_BYTES = 2**18
"""What is read from many units' memory at a time: it is still in the caches when written
back."""


class Extended(NamedTuple):
    """One poll's rows, each unit's after what was kept of it."""

    flats: tuple[npt.NDArray[Any], ...]
    """Every array, its units one after the other: kept rows, then the poll's."""
    position_N: IntArray
    """Where each of the poll's rows stands in them."""
    n_before_N: IntArray
    """Rows of its unit that stand before it, at most the number kept. What stands further
    before is of no meaning."""


class Trails:
    """Owns the last `n_kept` rows of each unit, of one array or of several side by side."""

    def __init__(self, n_kept: int, *empty: npt.NDArray[Any]) -> None:
        """Start without a unit.

        Args:
            n_kept: rows to keep of each.
            empty: an array without rows, of the type and width of each that will come.
        """
        self._n_kept = n_kept
        self._kept = [
            np.zeros((0, n_kept, *array.shape[1:]), dtype=array.dtype) for array in empty
        ]
        self._n_kept_U: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)

    @property
    def bytes_per_unit(self) -> int:
        """Memory that one unit takes."""
        row_bytes = sum(int(k.itemsize * math.prod(k.shape[2:])) for k in self._kept)
        return self._n_kept * row_bytes + 4

    def extend(self, row_N: IntArray, n_rows: int, *arrays: npt.NDArray[Any]) -> Extended:
        """Append one poll's rows.

        Args:
            row_N: the unit's row of each, those of one unit together and in order.
            n_rows: rows given out so far; the arrays grow to hold them.
            arrays: N rows of each array.
        """
        self._grow(n_rows)
        n_kept = self._n_kept
        first_G = group_starts(row_N)
        row_G = row_N[first_G]
        size_G = np.diff(first_G, append=len(row_N))
        group_N = np.repeat(np.arange(len(first_G)), size_G)
        rank_N = np.arange(len(row_N)) - first_G[group_N]

        begin_G = first_G + n_kept * np.arange(len(first_G))
        position_N = begin_G[group_N] + n_kept + rank_N
        n_before_N = np.minimum(self._n_kept_U[row_G][group_N] + rank_N, n_kept)

        # Of many units each sends one reading: without indices it is twice as fast.
        is_one_each = len(row_N) == len(first_G)
        if not is_one_each:
            kept_GT = begin_G[:, None] + np.arange(n_kept)
            tail_GT = kept_GT + size_G[:, None]
        flats = []
        for kept_UT, array_N in zip(self._kept, arrays, strict=True):
            n_flat = len(row_N) + n_kept * len(first_G)
            flat_M = np.empty((n_flat, *array_N.shape[1:]), dtype=kept_UT.dtype)
            if is_one_each:
                flat_GT = flat_M.reshape(len(row_N), n_kept + 1, *array_N.shape[1:])
                _shift(kept_UT, row_G, array_N, flat_GT)
            else:
                flat_M[kept_GT] = kept_UT[row_G]
                flat_M[position_N] = array_N
                kept_UT[row_G] = flat_M[tail_GT]
            flats.append(flat_M)
        self._n_kept_U[row_G] = np.minimum(self._n_kept_U[row_G] + size_G, n_kept)
        return Extended(tuple(flats), position_N, n_before_N)

    def forget(self, rows: IntArray) -> None:
        """Clear these rows: the next unit in each starts without a past."""
        self._n_kept_U[rows[rows < len(self._n_kept_U)]] = 0

    def _grow(self, n_rows: int) -> None:
        n_new = n_to_add(len(self._n_kept_U), n_rows)
        if n_new:
            self._kept = [extended(kept_UT, n_new, 0) for kept_UT in self._kept]
            self._n_kept_U = extended(self._n_kept_U, n_new, 0)


def _shift(
    kept_UT: npt.NDArray[Any],
    row_G: IntArray,
    array_G: npt.NDArray[Any],
    flat_GT: npt.NDArray[Any],
) -> None:
    """Put one row behind what is kept of each unit, into `flat_GT`, and keep its end."""
    n_kept = kept_UT.shape[1]
    n_at_once = max(PART_BYTES * len(flat_GT) // max(flat_GT.nbytes, 1), 1)
    for begin in range(0, len(row_G), n_at_once):
        part = slice(begin, begin + n_at_once)
        row_P, flat_PT = row_G[part], flat_GT[part]
        # By `take`: indexing by brackets takes up to twice as long.
        flat_PT[:, :n_kept] = np.take(kept_UT, row_P, axis=0)
        flat_PT[:, n_kept] = array_G[part]
        kept_UT[row_P] = flat_PT[:, 1:]


def n_to_add(n_old: int, n_rows: int) -> int:
    """Rows to add to arrays of `n_old` so that they hold `n_rows`, 0 if they do.

    By a thirty-second at least: growing by one unit a poll stays cheap, as the system moves
    large arrays without a copy, and of one million units' gigabyte little lies idle.
    """
    return 0 if n_rows <= n_old else max(n_rows, n_old + n_old // 32) - n_old


def extended(array_U: npt.NDArray[Scalar], n_new: int, fill: float) -> npt.NDArray[Scalar]:
    """`array_U` with `n_new` rows more, each holding `fill`.

    In its own memory: one million units' windows are a gigabyte, and there is no room for
    them twice. Nothing may hold a view of it.
    """
    n_old = len(array_U)
    array_U.resize((n_old + n_new, *array_U.shape[1:]), refcheck=False)
    array_U[n_old:] = fill
    return array_U
