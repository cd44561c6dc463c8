"""The population stability index (PSI): how far a distribution is from an earlier one.

Source: Siddiqi (2006), Credit Risk Scorecards, ISBN 978-0-471-75451-0. An index below 0.1
is called no change there, and one over 0.25 a significant one.
"""

import numpy as np

from pipeline.records import IntArray, TimeArray

MIN_SHARE = 1e-4
"""A share counts as no less: of an empty bin the index would be infinite."""


def psi(expected_FK: TimeArray, share_FK: TimeArray) -> TimeArray:
    """The index of each of F distributions over K bins, >= 0, shape (F,).

    Args:
        expected_FK: shares of the earlier distribution, summing to 1.
        share_FK: shares of the later one.
    """
    expected_FK = np.maximum(expected_FK, MIN_SHARE)
    share_FK = np.maximum(share_FK, MIN_SHARE)
    moved_FK = (share_FK - expected_FK) * np.log(share_FK / expected_FK)
    return np.asarray(moved_FK.sum(axis=-1))


def psi_of_counts(
    expected_FK: TimeArray, counts_FK: IntArray, n_expected: float = np.inf
) -> TimeArray:
    """The index of counts, less what chance alone brings it to; >= 0, shape (F,).

    Of n and m independent values of one distribution the index is on average (K - 1) x
    (1 / n + 1 / m). Source: Yurdakul (2018), Statistical Properties of Population Stability
    Index, Western Michigan University.

    Args:
        expected_FK: shares of the earlier distribution.
        counts_FK: values of the later one.
        n_expected: values that `expected_FK` was made of.

    Returns:
        NaN where there are no counts.
    """
    n_F = counts_FK.sum(axis=-1)
    share_FK = counts_FK / np.maximum(n_F, 1)[..., None]
    n_free_F = np.maximum((expected_FK > 0).sum(axis=-1) - 1, 0)
    by_chance_F = n_free_F * (1.0 / np.maximum(n_F, 1) + 1.0 / n_expected)
    index_F = np.maximum(psi(expected_FK, share_FK) - by_chance_F, 0.0)
    return np.where(n_F > 0, index_F, np.nan)
