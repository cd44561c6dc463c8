"""Which scaler each unit has: one for all of them, or its own."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.detector.scaler import Scaler
from pipeline.records import FloatArray, IntArray

MAX_SCALED = 1e6
"""Scaled values are cut here, so that a score stays a finite float32."""
MAX_WIDE_ROWS = 16
POOLED = 0
"""The line of a unit without a scaler of its own."""


class Scaling:
    """The scalers of a detector, in lines: the first is of all units pooled, and each
    further one of a unit that has its own. A unit never seen in training has the first."""

    def __init__(
        self,
        pooled: Scaler,
        units: Sequence[str] = (),
        mean_UF: FloatArray | None = None,
        scale_UF: FloatArray | None = None,
    ) -> None:
        """Put the scalers in lines.

        Args:
            pooled: of all units.
            units: those that have their own, all different.
            mean_UF: their means; None without such units.
            scale_UF: their scales, > 0.
        """
        self.pooled = pooled
        self.units = tuple(units)
        self._mean_LF = _lines(pooled.mean_F, mean_UF)
        self._scale_LF = _lines(pooled.scale_F, scale_UF)
        self._line_of = {unit: 1 + index for index, unit in enumerate(self.units)}

    @property
    def mean_UF(self) -> FloatArray:  # noqa: N802 - a shape suffix, as everywhere
        """Means of the units that have their own, in the order of `units`."""
        return self._mean_LF[1:]

    @property
    def scale_UF(self) -> FloatArray:  # noqa: N802
        """Scales of the units that have their own."""
        return self._scale_LF[1:]

    def line(self, unit: str) -> int:
        """Where the scaler of this unit stands."""
        return self._line_of.get(unit, POOLED)

    def scaled(self, values_NF: FloatArray, line_N: IntArray | int = POOLED) -> FloatArray:
        """Readings as the networks see them, in the same shape. NaN where missing.

        Args:
            values_NF: in the sensors' own units, NaN where missing. Axes before the last
                may be any.
            line_N: of each reading's unit, or of the unit of all of them.
        """
        mean, scale, values = self._mean_LF[line_N], self._scale_LF[line_N], values_NF
        if mean.ndim == 1:
            # Some rows as one: numpy is slow over a short last axis.
            n_sensors = values_NF.shape[-1]
            n_wide = math.gcd(math.prod(values_NF.shape[:-1]), MAX_WIDE_ROWS)
            values = values_NF.reshape(-1, n_wide * n_sensors)
            mean, scale = np.concatenate([mean] * n_wide), np.concatenate([scale] * n_wide)
        # What overflows is cut.
        with np.errstate(over="ignore"):
            x = values - mean
            x /= scale
        np.clip(x, -MAX_SCALED, MAX_SCALED, out=x)
        return x.reshape(values_NF.shape)

    def unscaled(self, x_BF: FloatArray, line_B: IntArray | int = POOLED) -> FloatArray:
        """Scaled values in the sensors' own units, within the range of a float32."""
        values_BF = x_BF.astype(np.float64) * self._scale_LF[line_B]
        largest = np.finfo(np.float32).max
        return np.clip(values_BF + self._mean_LF[line_B], -largest, largest).astype(
            np.float32
        )


def _lines(first_F: FloatArray, others_UF: FloatArray | None) -> FloatArray:
    if others_UF is None:
        return first_F[None]
    return np.concatenate([first_F[None], others_UF])
