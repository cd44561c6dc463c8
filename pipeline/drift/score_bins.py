"""Scores counted by size: as pictures show them, and as drift is measured by."""

from collections.abc import Sequence

import numpy as np

from pipeline.records import FloatArray, IntArray, TimeArray

N_BINS = 60
SCORE_EDGES = np.geomspace(0.03, 30.0, N_BINS + 1)
"""Of the bins; scores beyond count in the outermost ones."""
SCORE_BINS = 10
"""Wider ones, of about equal shares of calibration, that drift is measured in."""


def score_counts(score_B: FloatArray) -> IntArray:
    """How many of these scores fall into each bin, shape (`N_BINS`,)."""
    bin_B = np.searchsorted(SCORE_EDGES, score_B, side="right") - 1
    counts_K = np.bincount(np.clip(bin_B, 0, N_BINS - 1), minlength=N_BINS)
    return counts_K.astype(np.int64)


def shares_up_to(counts_K: IntArray, bounds: Sequence[float]) -> TimeArray:
    """The share of counted scores, at least one, that are no higher than each bound.

    Within a bin scores are taken to be spread evenly, on a scale of logarithms.
    """
    share_E = np.concatenate([[0.0], np.cumsum(counts_K) / counts_K.sum()])
    return np.asarray(np.interp(np.log(bounds), np.log(SCORE_EDGES), share_E))


def joined_bins(counts_K: IntArray, n_bins: int) -> IntArray:
    """Which of at most `n_bins` wider bins, about equally full, each bin falls into."""
    below_K = np.cumsum(counts_K) - counts_K
    wide_K = np.minimum(below_K * n_bins // max(int(counts_K.sum()), 1), n_bins - 1)
    # Numbered without gaps: what a single full bin leapt over is no bin.
    return np.cumsum(np.diff(wide_K, prepend=wide_K[0]) > 0)
