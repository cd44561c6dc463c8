"""What the readings of a history were like, for a worker to hold live ones against."""

import numpy as np

from pipeline.detector.manifest_parts import N_QUANTILE_BINS, UsualPart
from pipeline.records import BoolArray, FloatArray, IntArray

MAX_VALUES = 200_000
"""Of a sensor, from all over the history, that its quantiles are taken of."""


def usual_readings(
    values_NF: FloatArray, x_NF: FloatArray, unit_N: IntArray, used_N: BoolArray
) -> UsualPart:
    """Describe readings sensor by sensor.

    Args:
        values_NF: all readings of a history in the sensors' own units, NaN where missing;
            those of one unit together and in the order of time. Each sensor has a value
            among those that are used.
        x_NF: the same, scaled.
        unit_N: their units.
        used_N: which of them were learned from.
    """
    at = np.flatnonzero(used_N)
    follows_N = (np.diff(at, prepend=-2) == 1) & (np.diff(unit_N[at], prepend=-1) == 0)
    low, high, edges, shares, missing, longest = [], [], [], [], [], []
    for sensor in range(values_NF.shape[1]):
        x_N = x_NF[at, sensor]
        there_N = x_N[~np.isnan(x_N)]
        low.append(_short(there_N.min()))
        high.append(_short(there_N.max()))
        some_N = there_N[:: -(-len(there_N) // MAX_VALUES)]
        edge_E = _edges(some_N)
        bin_N = np.searchsorted(edge_E, some_N, side="right")
        counts_K = np.bincount(bin_N, minlength=N_QUANTILE_BINS)
        edges.append([_short(edge) for edge in edge_E])
        shares.append([round(count / len(some_N), 6) for count in counts_K.tolist()])
        missing.append(round(1.0 - len(there_N) / len(x_N), 6))
        longest.append(_longest_still(values_NF[at, sensor], follows_N))
    return UsualPart(low, high, edges, shares, missing, longest)


def _edges(x_N: FloatArray) -> FloatArray:
    """Inner edges of bins that hold about equal shares: quantiles, which are values."""
    ranks = np.arange(1, N_QUANTILE_BINS) / N_QUANTILE_BINS
    return np.asarray(np.quantile(x_N, ranks, method="inverted_cdf"), dtype=np.float32)


def _longest_still(values_N: FloatArray, follows_N: BoolArray) -> int:
    """Readings in a row, at most, that repeated the one before them."""
    moved_N = np.ones(len(values_N), dtype=np.bool_)
    moved_N[1:] = (values_N[1:] != values_N[:-1]) | ~follows_N[1:]
    return int(np.diff(np.flatnonzero(moved_N), append=len(values_N)).max()) - 1


def _short(value: np.floating) -> float:
    """The same 32-bit float, written with no more digits than it has."""
    return float(str(np.float32(value)))
