"""The detector: raw windows in, normalised scores and their explanation out."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.network import Network
from pipeline.detector.scaler import Scaler
from pipeline.records import FloatArray, Scores

MAX_SCALED = 1e6
"""Scaled values are cut here, so that a score stays a finite float32."""


@dataclass(frozen=True, slots=True)
class Detector:
    """A trained network with the scaling before it and the threshold after it."""

    sensors: tuple[str, ...]
    network: Network
    scaler: Scaler
    threshold: float
    """In the network's own error; scores are multiples of it."""

    @property
    def window(self) -> int:
        """T, readings in a window."""
        return self.network.shape.window

    def score(self, values_BTF: FloatArray, device: torch.device | str = "cpu") -> Scores:
        """Score windows of raw readings. The network must already be on `device`.

        Args:
            values_BTF: readings in the sensors' own units, NaN where missing.
            device: where to compute.

        Raises:
            ValueError: the windows are not of this detector's shape.
        """
        shape = (self.window, len(self.sensors))
        if values_BTF.shape[1:] != shape:
            raise ValueError(
                f"windows are {values_BTF.shape[1:]} but the detector takes {shape}"
            )
        with torch.inference_mode():
            raw_BTF = torch.from_numpy(values_BTF).to(device)
            x_BTF, observed_BTF = scaled(raw_BTF, self.scaler)
            errors = self.network.errors(x_BTF, observed_BTF)
            total_B = errors.sensor_BF.sum(dim=1)
            share_BF = errors.sensor_BF / total_B.clamp(min=1e-30)[:, None]
            score_B = (total_B + errors.rest_B) / self.threshold
            expected_BF = errors.expected_BF.cpu().numpy()
            return Scores(
                score_B=score_B.cpu().numpy(),
                contribution_BF=share_BF.cpu().numpy(),
                # A copy: a view would keep every gathered window alive with the scores.
                observed_BF=values_BTF[:, -1].copy(),
                expected_BF=self.scaler.unscaled(expected_BF),
            )


def scaled(raw_BTF: Tensor, scaler: Scaler) -> tuple[Tensor, Tensor]:
    """Scale raw windows and say which values were observed.

    A missing value takes the last one before it in its window, and the sensor's mean where
    there is none: a function of the window alone.

    Returns:
        x_BTF, finite, and observed_BTF, 1.0 where measured and 0.0 where filled in.
    """
    mean_F = torch.from_numpy(scaler.mean_F).to(raw_BTF.device)
    scale_F = torch.from_numpy(scaler.scale_F).to(raw_BTF.device)
    missing_BTF = torch.isnan(raw_BTF)
    x_BTF = ((raw_BTF - mean_F) / scale_F).clamp(-MAX_SCALED, MAX_SCALED)
    if missing_BTF.any():
        x_BTF = _forward_filled(x_BTF, missing_BTF)
    return x_BTF, (~missing_BTF).to(x_BTF.dtype)


def _forward_filled(x_BTF: Tensor, missing_BTF: Tensor) -> Tensor:
    step_T = torch.arange(x_BTF.shape[1], device=x_BTF.device)[None, :, None]
    last_seen_BTF = torch.where(missing_BTF, 0, step_T).cummax(dim=1).values
    filled_BTF = x_BTF.gather(1, last_seen_BTF)
    return torch.nan_to_num(filled_BTF, nan=0.0)


def unit_threshold(sensors: tuple[str, ...], network: Network, scaler: Scaler) -> Detector:
    """A detector whose scores are the network's own errors, for calibration."""
    return Detector(sensors, network, scaler, threshold=1.0)


def as_float32(values: list[float]) -> FloatArray:
    """A manifest's list of numbers, as an array. What a float32 cannot hold is infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)
