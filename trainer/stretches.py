"""Which readings of a long history are learned from: stretches at random places.

A stretch is readings of one unit in a row. Training draws a bounded number of windows
however long a history is, so that some of the readings, from all over it, do as well.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.records import IntArray

STRETCH_WINDOWS = 16
"""Windows in a row that a stretch holds at the least: what begins anew with each stretch,
windows and statistics over time, is then a small part of it."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Ranks [begin, end) of readings within their unit, in the order of units and ranks."""

    unit_S: IntArray
    begin_S: IntArray
    end_S: IntArray

    def __len__(self) -> int:
        return len(self.unit_S)

    def of(self, unit_N: IntArray, rank_N: IntArray) -> IntArray:
        """The stretch that each reading is in, -1 where it is in none.

        Args:
            unit_N: the readings' units.
            rank_N: how many readings of its unit come before each.
        """
        # One number that rises with unit and rank.
        width = 1 + max(int(self.end_S.max(initial=0)), int(rank_N.max(initial=0)))
        at_N = unit_N * width + rank_N
        stretch_N = np.searchsorted(self.unit_S * width + self.begin_S, at_N, "right") - 1
        # The last one stands in for -1: it begins behind such a reading.
        is_in_N = (stretch_N >= 0) & (at_N < (self.unit_S * width + self.end_S)[stretch_N])
        return np.asarray(np.where(is_in_N, stretch_N, -1))


def choose_stretches(n_U: IntArray, n_kept: int, min_length: int, seed: int) -> Stretches:
    """Choose stretches of each unit, `n_kept` readings in all.

    Every unit keeps one stretch, and of what is left its share. Where that is too much,
    units drawn at random keep one each. A unit's stretches are spread over it: one in each
    of as many equal parts, at a random place in it, so that they follow no daily rhythm. A
    unit of which all is kept is one stretch.

    Args:
        n_U: readings of each unit, 0 of one that is not to be chosen from; not all are 0.
        n_kept: readings to keep, at most.
        min_length: of a stretch, unless its unit is shorter, or less is kept in all.
        seed: of all randomness.
    """
    random = np.random.default_rng(seed)
    min_length = min(min_length, n_kept)
    n_kept_U = _kept_of_units(n_U, n_kept, min_length, random)
    units, begins, ends = [], [], []
    for unit in np.flatnonzero(n_kept_U).tolist():
        n_readings, n_kept_of_unit = int(n_U[unit]), int(n_kept_U[unit])
        # Windows span no two stretches, not even where nothing lies between them.
        is_whole = n_kept_of_unit == n_readings
        n_stretches = 1 if is_whole else max(1, n_kept_of_unit // min_length)
        # Of the unit's equal parts, and of how much of each is kept.
        part_P = n_readings * np.arange(n_stretches + 1) // n_stretches
        length_S = np.diff(n_kept_of_unit * np.arange(n_stretches + 1) // n_stretches)
        length_S = np.minimum(length_S, np.diff(part_P))
        begin_S = part_P[:-1] + random.integers(0, np.diff(part_P) - length_S + 1)
        units.append(np.full(n_stretches, unit))
        begins.append(begin_S)
        ends.append(begin_S + length_S)
    return Stretches(np.concatenate(units), np.concatenate(begins), np.concatenate(ends))


def _kept_of_units(
    n_U: IntArray, n_kept: int, min_length: int, random: np.random.Generator
) -> IntArray:
    """How many readings of each unit are kept, `n_kept` in all at the most."""
    least_U = np.minimum(n_U, min_length)
    if least_U.sum() > n_kept:
        order_U = random.permutation(len(n_U))
        is_kept_U = np.cumsum(least_U[order_U]) <= n_kept
        kept_U = np.zeros_like(n_U)
        kept_U[order_U[is_kept_U]] = least_U[order_U[is_kept_U]]
        return kept_U
    share = min(1.0, (n_kept - least_U.sum()) / max((n_U - least_U).sum(), 1))
    return np.asarray(least_U + np.floor((n_U - least_U) * share).astype(np.int64))
