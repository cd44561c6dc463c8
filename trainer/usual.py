"""What the readings of a history were like, for a worker to hold live ones against."""

import numpy as np

from pipeline.detector.manifest_parts import N_QUANTILE_BINS, UsualPart
from pipeline.drift.psi import psi_of_counts
from pipeline.drift.score_bins import SCORE_BINS, joined_bins, score_counts
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray

MAX_VALUES = 200_000
"""Of a sensor, from all over the history, that its quantiles are taken of."""
N_PARTS = 4


def usual_readings(
    values_NF: FloatArray,
    x_NF: FloatArray,
    unit_N: IntArray,
    time_s_N: TimeArray,
    used_N: BoolArray,
) -> UsualPart:
    """Describe readings sensor by sensor.

    Args:
        values_NF: all readings of a history in the sensors' own units, NaN where missing;
            those of one unit together and in the order of time. Each sensor has a value
            among those that are used.
        x_NF: the same, scaled.
        unit_N: their units.
        time_s_N: their times.
        used_N: which of them were learned from.
    """
    at = np.flatnonzero(used_N)
    part_N = _quarters(time_s_N[at])
    follows_N = (np.diff(at, prepend=-2) == 1) & (np.diff(unit_N[at], prepend=-1) == 0)
    usual = UsualPart([], [], [], [], [], [], [])
    for sensor in range(values_NF.shape[1]):
        x_N = x_NF[at, sensor]
        is_there_N = ~np.isnan(x_N)
        there_N = x_N[is_there_N]
        usual.low.append(_short(there_N.min()))
        usual.high.append(_short(there_N.max()))
        some = slice(None, None, -(-len(there_N) // MAX_VALUES))
        edge_E = _edges(there_N[some])
        usual.edges.append([_short(edge) for edge in edge_E])
        bin_N = np.searchsorted(edge_E, there_N[some], side="right")
        counts_PK = _by_part(bin_N, part_N[is_there_N][some], N_QUANTILE_BINS)
        share_K = counts_PK.sum(axis=0) / counts_PK.sum()
        usual.shares.append(share_K.round(6).tolist())
        usual.psi.append(_furthest(share_K, counts_PK))
        usual.missing.append(round(1.0 - len(there_N) / len(x_N), 6))
        usual.longest_still.append(_longest_still(values_NF[at, sensor], follows_N))
    return usual


def usual_score_psi(score_B: FloatArray, time_s_B: TimeArray) -> float:
    """How far the scores of a quarter of the time are from all of them, at most.

    Args:
        score_B: normalised scores of held-out windows.
        time_s_B: their times.
    """
    joined_K = joined_bins(score_counts(score_B), SCORE_BINS)
    part_B = _quarters(time_s_B)
    counts_PJ = np.stack(
        [
            np.bincount(joined_K, score_counts(score_B[part_B == part]))
            for part in range(N_PARTS)
        ]
    ).astype(np.int64)
    return _furthest(counts_PJ.sum(axis=0) / counts_PJ.sum(), counts_PJ)


def _quarters(time_s_N: TimeArray) -> IntArray:
    """Which quarter of the readings each belongs to, by its time."""
    ranks = np.arange(1, N_PARTS) / N_PARTS
    return np.searchsorted(np.quantile(time_s_N, ranks), time_s_N, side="right")


def _by_part(bin_N: IntArray, part_N: IntArray, n_bins: int) -> IntArray:
    """How many are in each bin, part by part, shape (P, K)."""
    counts = np.bincount(part_N * n_bins + bin_N, minlength=N_PARTS * n_bins)
    return counts.reshape(N_PARTS, n_bins)


def _furthest(share_K: TimeArray, counts_PK: IntArray) -> float:
    psi_P = psi_of_counts(np.broadcast_to(share_K, counts_PK.shape), counts_PK)
    return round(float(np.nanmax(psi_P)), 4)


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
