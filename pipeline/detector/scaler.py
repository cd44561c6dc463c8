"""Per-sensor scaling, fitted on the training part alone."""

from dataclasses import dataclass

import numpy as np

from pipeline.records import BoolArray, FloatArray

CONSTANT_SHARE = float(np.finfo(np.float32).eps)
"""A standard deviation up to this share of the mean (1.2e-7) is rounding, not movement.

A level that stands still and is rounded to a float32 alternates between two neighbours: at
most 6.0e-8 of the mean, measured over levels from 1e-6 to 1e9."""
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
        is_constant_F = std_F <= CONSTANT_SHARE * np.abs(mean_F)
        mean_F = mean_F.astype(np.float32)
        # Not so small that it is 0 as a float32.
        std_F = np.maximum(std_F, np.finfo(np.float32).tiny).astype(np.float32)
        floor_F = _floor(mean_F)
        # A real deviation that happens to be the floor gives way by its last bit, so that
        # `is_constant_F` can tell the two apart, from a detector's manifest too.
        std_F = np.where(std_F == floor_F, np.nextafter(std_F, np.float32(np.inf)), std_F)
        return cls(mean_F, np.where(is_constant_F, floor_F, std_F))

    @property
    def is_constant_F(self) -> BoolArray:  # noqa: N802 - a shape suffix, as everywhere
        """The sensors that stood still in training, or had no value at all."""
        return np.asarray(self.scale_F == _floor(self.mean_F))


def _floor(mean_F: FloatArray) -> FloatArray:
    floor_F = np.where(mean_F == 0.0, 1.0, FLOOR_SHARE * np.abs(mean_F.astype(np.float64)))
    return np.maximum(floor_F, np.finfo(np.float32).tiny).astype(np.float32)
