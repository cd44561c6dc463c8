"""Per-sensor scaling, fitted on the training part alone."""

from dataclasses import dataclass

import numpy as np

from pipeline.records import FloatArray

CONSTANT_SHARE = 1e-6
"""A standard deviation below this share of the mean is rounding, not movement."""
FLOOR_SHARE = 0.01
"""A sensor that stood still counts as moving in steps of this share of its level."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """Each sensor's mean and scale: `(value - mean) / scale` is what a network sees."""

    mean_F: FloatArray
    scale_F: FloatArray

    @classmethod
    def fit(cls, values_NF: FloatArray) -> "Scaler":
        """Mean and standard deviation of each sensor, missing values (NaN) left out.

        A sensor that never moved has no standard deviation to speak of. It gets a floor in
        proportion to its level, so that its first real move scores high but not infinite,
        whatever unit it is measured in; a sensor without any value gets (0, 1).
        """
        values_NF = values_NF.astype(np.float64)
        observed_NF = ~np.isnan(values_NF)
        n_F = np.maximum(observed_NF.sum(axis=0), 1)
        mean_F = np.where(observed_NF, values_NF, 0.0).sum(axis=0) / n_F
        deviation_NF = np.where(observed_NF, values_NF - mean_F, 0.0)
        std_F = np.sqrt(np.square(deviation_NF).sum(axis=0) / n_F)
        floor_F = np.where(mean_F == 0.0, 1.0, FLOOR_SHARE * np.abs(mean_F))
        is_constant_F = std_F <= CONSTANT_SHARE * np.abs(mean_F)
        scale_F = np.where(is_constant_F, floor_F, std_F)
        # Not so small that it is 0 as a float32.
        scale_F = np.maximum(scale_F, np.finfo(np.float32).tiny)
        return cls(mean_F.astype(np.float32), scale_F.astype(np.float32))

    def unscaled(self, scaled_BF: FloatArray) -> FloatArray:
        """Scaled values in the sensors' own units, within the range of a float32."""
        values_BF = scaled_BF.astype(np.float64) * self.scale_F + self.mean_F
        largest = np.finfo(np.float32).max
        return np.clip(values_BF, -largest, largest).astype(np.float32)
