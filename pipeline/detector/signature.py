"""What labelled anomalies have in common, and how far a window resembles it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.detector.residual_sums import Residuals
from pipeline.records import BoolArray, FloatArray, IntArray

CLIP = 6.0
"""Of a feature, in normal standard deviations: no sensor alone makes a resemblance."""
LOWEST, HIGHEST = -2.0, 8.0
"""Of a resemblance that counts, in its normal standard deviations."""
HALF_LOSS, SIZE_SCALE = 0.5, 4.0
"""The mean Huber loss, of 1 standard deviation, that has half of the largest size."""
Feature = Literal["offset", "size"]


@dataclass(frozen=True, slots=True)
class Signature:
    """Raises the scores of windows that resemble labelled ones, or lowers them.

    Each sensor's residuals over the last `span` readings give a feature: `offset`, their
    mean, which has a sign, or `size`, how large their mean Huber loss is, which saturates.
    Each labelled event is one direction among the sensors' features, as in the linear
    discriminant analysis of Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; a window
    resembles the nearest of them.
    """

    feature: Feature
    span: int
    """Readings, a power of two."""
    scale_F: FloatArray
    """What residuals are divided by. Of the scored sensors, as all that follows."""
    center_F: FloatArray
    """The features' means on normal readings."""
    direction_KF: FloatArray
    """One a kind of event, of about unit spread on normal readings."""
    usual: float
    """The mean resemblance of normal readings."""
    spread: float
    """And its standard deviation."""
    weight: float
    """By how much of itself a score grows with each standard deviation, about. Negative
    for what is to be silenced."""

    def features(self, residuals: Residuals, at: IntArray | slice) -> FloatArray:
        """Of these positions, shape (B, F). Of a unit's first `span` - 1 of no meaning."""
        if self.feature == "offset":
            feature_BF = residuals.sums.mean(self.span, at) / self.scale_F
        else:
            loss_BF = residuals.losses(self.scale_F).mean(self.span, at)
            # Not a logarithm, of which the last bit depends on where in an array it is.
            feature_BF = (
                np.float32(SIZE_SCALE) * loss_BF / (loss_BF + np.float32(HALF_LOSS))
            )
        return np.asarray(np.clip(feature_BF, -CLIP, CLIP) - self.center_F)

    def resemblance(self, feature_BF: FloatArray) -> FloatArray:
        """How far rows look like the nearest kind of event, shape (B,).

        In standard deviations of normal readings, within `LOWEST` and `HIGHEST`.
        """
        z_B = np.full(len(feature_BF), -np.inf, dtype=np.float32)
        for direction_F in self.direction_KF:
            # Each row by itself: a matrix product's last bits depend on the batch.
            z_B = np.maximum(z_B, np.einsum("bf->b", feature_BF * direction_F))
        z_B = (z_B - np.float32(self.usual)) / np.float32(self.spread)
        return np.asarray(np.clip(z_B, LOWEST, HIGHEST), dtype=np.float32)

    def factor(self, feature_BF: FloatArray, is_whole_B: BoolArray) -> FloatArray:
        """What scores are multiplied by, > 0, shape (B,); 1 where not `is_whole_B`."""
        z_B = np.where(is_whole_B, self.resemblance(feature_BF), np.float32(0.0))
        return factor_of(z_B, self.weight)


def factor_of(z_B: FloatArray, weight: float) -> FloatArray:
    """About exp(weight x z), by operations whose last bit is the same everywhere."""
    eighth_B = np.float32(1.0) + np.float32(abs(weight) / 8.0) * z_B
    factor_B = eighth_B * eighth_B
    factor_B *= factor_B
    factor_B *= factor_B
    return np.asarray(factor_B if weight >= 0 else np.float32(1.0) / factor_B)
