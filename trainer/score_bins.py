"""Scores counted by size, for pictures of how they are distributed."""

import numpy as np

from pipeline.records import FloatArray, IntArray

N_BINS = 60
SCORE_EDGES = np.geomspace(0.03, 30.0, N_BINS + 1)
"""Of the bins; scores beyond count in the outermost ones."""


def score_counts(score_B: FloatArray) -> IntArray:
    """How many of these scores fall into each bin, shape (`N_BINS`,)."""
    bin_B = np.searchsorted(SCORE_EDGES, score_B, side="right") - 1
    counts_K = np.bincount(np.clip(bin_B, 0, N_BINS - 1), minlength=N_BINS)
    return counts_K.astype(np.int64)
