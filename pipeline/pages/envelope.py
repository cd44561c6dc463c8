"""Curves of any length as a bounded number of points: each bin's smallest and largest."""

from dataclasses import dataclass

import numpy as np

from pipeline.records import FloatArray, TimeArray

GAP_BINS = 3.0
GAP_STEPS = 10.0
"""A curve is broken where nothing came for both as many bins and as many usual steps."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """K bins, in the order of time. NaN where a bin holds no value."""

    time_s_K: TimeArray
    """Mean time of a bin's readings, seconds since the epoch."""
    low_KC: FloatArray
    """Smallest value of each of C curves."""
    high_KC: FloatArray

    def __len__(self) -> int:
        return len(self.time_s_K)


class EnvelopeBuilder:
    """Takes curves piece by piece, in the order of time; its size never grows."""

    def __init__(
        self, first_s: float, last_s: float, n_bins: int, n_curves: int, step_s: float
    ) -> None:
        self._first_s = first_s
        self._bin_s = max(last_s - first_s, 1e-6) / n_bins
        self._step_s = step_s
        self._low_KC = np.full((n_bins, n_curves), np.nan, dtype=np.float32)
        self._high_KC = np.full((n_bins, n_curves), np.nan, dtype=np.float32)
        self._time_sum_K = np.zeros(n_bins)
        self._n_K = np.zeros(n_bins, dtype=np.int64)

    def add(self, time_s_N: TimeArray, values_NC: FloatArray) -> None:
        """Add readings that are no older than those before. NaN is no value."""
        if len(time_s_N) == 0:
            return
        elapsed_N = time_s_N - self._first_s
        bin_N = np.clip((elapsed_N / self._bin_s).astype(np.int64), 0, len(self._n_K) - 1)
        first_G = np.flatnonzero(np.diff(bin_N, prepend=-1))
        bin_G = bin_N[first_G]
        low_GC = np.fmin.reduceat(values_NC, first_G, axis=0)
        high_GC = np.fmax.reduceat(values_NC, first_G, axis=0)
        self._low_KC[bin_G] = np.fmin(self._low_KC[bin_G], low_GC)
        self._high_KC[bin_G] = np.fmax(self._high_KC[bin_G], high_GC)
        self._time_sum_K[bin_G] += np.add.reduceat(elapsed_N, first_G)
        self._n_K[bin_G] += np.diff(first_G, append=len(bin_N))

    def envelope(self) -> Envelope:
        """The bins that hold readings, with an empty one where the curves are broken."""
        filled_K = np.flatnonzero(self._n_K)
        time_s_K = self._first_s + self._time_sum_K[filled_K] / self._n_K[filled_K]
        gap_s = max(GAP_BINS * self._bin_s, GAP_STEPS * self._step_s)
        breaks = np.flatnonzero(np.diff(time_s_K) > gap_s) + 1
        return Envelope(
            np.insert(time_s_K, breaks, time_s_K[breaks]),
            np.insert(self._low_KC[filled_K], breaks, np.nan, axis=0),
            np.insert(self._high_KC[filled_K], breaks, np.nan, axis=0),
        )
