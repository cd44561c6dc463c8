"""The detector: raw windows in, normalised scores and their explanation out."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from pipeline.detector.network import Network
from pipeline.detector.scaler import Scaler
from pipeline.detector.scoring import Scoring
from pipeline.records import FloatArray, IntArray, Scores
from pipeline.trail import Trails

MAX_SCALED = 1e6
"""Scaled values are cut here, so that a score stays a finite float32."""

MAX_VALUES_AT_ONCE = 2**20
"""Values (windows x T x F) of a series that are scored at a time: 4 MiB."""


class Measures(NamedTuple):
    """What a detector's networks say of windows, each alone, before scores are made."""

    measure_BC: FloatArray
    observed_BF: FloatArray
    """The newest readings, NaN where missing."""
    expected_BF: FloatArray
    """The same as the networks reconstruct them, in the sensors' own units."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Trained networks, the scaling before them, the scoring and the threshold after."""

    sensors: tuple[str, ...]
    networks: tuple[Network, ...]
    """One of each family in it."""
    scaler: Scaler
    scoring: Scoring
    threshold: float
    """In what `scoring` gives; scores are multiples of it."""

    @property
    def window(self) -> int:
        """T, readings in a window."""
        return self.networks[0].shape.window

    def to(self, device: torch.device | str) -> None:
        """Move the networks."""
        for network in self.networks:
            network.to(device)

    def memory(self) -> Trails:
        """An empty memory of what scores need of the windows before."""
        n_columns = self.measure(
            np.zeros((0, self.window, len(self.sensors)), dtype=np.float32), self._device
        ).measure_BC.shape[1]
        return Trails(self.scoring.n_memory, np.empty((0, n_columns), dtype=np.float32))

    def measure(self, values_BTF: FloatArray, device: torch.device | str) -> Measures:
        """Run the networks over windows of raw readings. They must be on `device`.

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
            measured = self.scoring.measure(self.networks, *scaled(raw_BTF, self.scaler))
            return Measures(
                measure_BC=measured.measure_BC.cpu().numpy(),
                # A copy: a view would keep every gathered window alive with the scores.
                observed_BF=values_BTF[:, -1].copy(),
                expected_BF=self.scaler.unscaled(measured.expected_BF.cpu().numpy()),
            )

    def score(
        self, measures: Measures, row_B: IntArray, n_rows: int, memory: Trails
    ) -> Scores:
        """Make scores of windows' measures and those of their units before them.

        Args:
            measures: of B windows.
            row_B: each window's unit; those of one unit together, in order.
            n_rows: units there may be.
            memory: what came before, from `memory()`; carried on.
        """
        (flat_MC,), position_B, n_before_B = memory.extend(
            row_B, n_rows, measures.measure_BC
        )
        surprise = self.scoring.surprise(flat_MC, position_B, n_before_B)
        return Scores(
            score_B=surprise.score_B / np.float32(self.threshold),
            contribution_BF=surprise.share_BF,
            observed_BF=measures.observed_BF,
            expected_BF=measures.expected_BF,
        )

    def score_series(self, values_NF: FloatArray) -> Scores:
        """Score every window of one unit's series. Without a past before it."""
        views_BTF = sliding_window_view(values_NF, self.window, axis=0).transpose(0, 2, 1)
        # Windows overlap: all of them at once take up to T times the memory of the series.
        n_at_once = max(1, MAX_VALUES_AT_ONCE // (self.window * len(self.sensors)))
        parts = [
            self.measure(views_BTF[begin : begin + n_at_once].copy(), self._device)
            for begin in range(0, len(views_BTF), n_at_once)
        ]
        measures = Measures(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        row_B = np.zeros(len(views_BTF), dtype=np.int64)
        return self.score(measures, row_B, 1, self.memory())

    @property
    def _device(self) -> torch.device:
        return next(self.networks[0].parameters()).device


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


def as_float32(values: list[float]) -> FloatArray:
    """A manifest's list of numbers, as an array. What a float32 cannot hold is infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)
