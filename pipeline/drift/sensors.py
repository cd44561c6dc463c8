"""Recent values of each sensor against what training saw of it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.detector.manifest_parts import N_QUANTILE_BINS, UsualPart
from pipeline.drift.psi import psi_of_counts
from pipeline.drift.recent import Recent
from pipeline.drift.still import stuck_limits
from pipeline.records import FloatArray, IntArray, TimeArray

FAR_PSI = 0.25
"""Beyond what parts of the training have against all of it. See `psi`."""
FAR_SHARE = 0.1
"""Of the readings: out of range, stuck, or missing beyond the usual."""

MIN_READINGS = 100
"""Shares of fewer are not told."""
MIN_PSI_READINGS = 1_000
"""Nor how far fewer values have moved: chance alone moves them."""
LONG_SHARE = 0.7
"""Of the period, that readings must span by their own clocks for a sensor to be called far:
those of a night differ from those of a week without any drift."""


class SensorDrift(NamedTuple):
    """Of each sensor, over the recent period; NaN where too little is known."""

    psi_F: TimeArray
    out_of_range_F: TimeArray
    """Shares, 0 to 1: of its values."""
    missing_F: TimeArray
    """Of the readings."""
    stuck_F: TimeArray
    n_drifting: dict[str, int]
    """Sensors of which too much is so, by what is; without what too little is known of."""


class Sensors:
    """Owns the counts of recent values, sensor by sensor."""

    def __init__(self, usual: UsualPart, period_s: float, psi_period_s: float) -> None:
        """Count from now on.

        Args:
            usual: what training saw.
            period_s: what shares are taken over.
            psi_period_s: what distributions are compared over.
        """
        n_sensors = len(usual.low)
        self._psi_period_s = psi_period_s
        # Sensors along the first axis: numpy is slow over a short last one.
        self._low_F1 = np.array(usual.low, dtype=np.float32)[:, None]
        self._high_F1 = np.array(usual.high, dtype=np.float32)[:, None]
        self._edge_EF1 = np.array(usual.edges, dtype=np.float32).T[:, :, None].copy()
        self._share_FK = np.array(usual.shares)
        self._missing_F = np.array(usual.missing)
        self._psi_F = np.array(usual.psi)
        self._limit_F1 = stuck_limits(np.array(usual.longest_still))[:, None]
        self._first_bin_F1 = N_QUANTILE_BINS * np.arange(n_sensors)[:, None]
        self._faults = Recent(period_s, MIN_READINGS, n_sensors, n_sensors, n_sensors)
        self._values = Recent(psi_period_s, MIN_PSI_READINGS, n_sensors * N_QUANTILE_BINS)

    def add(
        self,
        x_BF: FloatArray,
        run_BF: npt.NDArray[np.uint16],
        time_s: float,
        now_s: float,
    ) -> None:
        """Count some readings.

        Args:
            x_BF: scaled, NaN where missing.
            run_BF: how often in a row each repeated the one before.
            time_s: of these readings by their own clocks, about.
            now_s: of the monotonic clock.
        """
        x_FB = np.ascontiguousarray(x_BF.T)
        is_there_FB = ~np.isnan(x_FB)
        is_out_FB = (x_FB < self._low_F1) | (x_FB > self._high_F1)
        is_stuck_FB = self._limit_F1 < run_BF.T
        counts = [each.sum(axis=1) for each in (is_out_FB, ~is_there_FB, is_stuck_FB)]
        self._faults.add(len(x_BF), time_s, now_s, *counts)
        bin_FB = np.repeat(self._first_bin_F1, len(x_BF), axis=1)
        for edge_F1 in self._edge_EF1:
            bin_FB += x_FB >= edge_F1
        n_bins = self._share_FK.size
        counts_FK = np.bincount(bin_FB[is_there_FB], minlength=n_bins)
        self._values.add(len(x_BF), time_s, now_s, counts_FK)

    def drift(self, now_s: float) -> SensorDrift:
        """What there is to tell; `now_s` is of the monotonic clock."""
        (counts,) = self._values.totals(now_s)
        counts_FK = counts.reshape(self._share_FK.shape)
        psi_F = psi_of_counts(self._share_FK, counts_FK)
        psi_F[counts_FK.sum(axis=1) < MIN_PSI_READINGS] = np.nan
        # Of more than some hours or days of a week.
        is_long = self._values.span_s(now_s) >= LONG_SHARE * self._psi_period_s
        out_F, missing_F, stuck_F = self._faults.totals(now_s)
        n = self._faults.n_readings(now_s)
        if not self._faults.is_enough(now_s):
            out_F, missing_F, stuck_F, n = *np.zeros((3, len(out_F)), dtype=np.int64), 0
        out_of_range_F = _shares(out_F, n - missing_F)
        missing_share_F = _shares(missing_F, np.full_like(missing_F, n))
        stuck_share_F = _shares(stuck_F, np.full_like(stuck_F, n))
        is_far_F = {}
        if self._values.is_enough(now_s):
            is_far_F["psi"] = (psi_F > self._psi_F + FAR_PSI) & is_long
        if n:
            is_far_F["out_of_range"] = out_of_range_F > FAR_SHARE
            is_far_F["missing"] = missing_share_F > self._missing_F + FAR_SHARE
            is_far_F["stuck"] = stuck_share_F > FAR_SHARE
        return SensorDrift(
            psi_F,
            out_of_range_F,
            missing_share_F,
            stuck_share_F,
            {by: int(each_F.sum()) for by, each_F in is_far_F.items()},
        )


def _shares(n_F: IntArray, of_F: IntArray) -> TimeArray:
    """NaN of none."""
    share_F = np.full(len(n_F), np.nan)
    np.divide(n_F, of_F, out=share_F, where=of_F > 0)
    return share_F
