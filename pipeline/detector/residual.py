"""Scoring by the residual of the newest reading, watched over several time scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import with_silent_sensors
from pipeline.detector.network import Network
from pipeline.detector.residual_sums import Residuals, huber
from pipeline.detector.rows import mean_of
from pipeline.detector.scoring import PART_VALUES, Measured, Surprise
from pipeline.detector.signature import Signature
from pipeline.records import BoolArray, FloatArray, IntArray

Kind = Literal["burst", "shift"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One way in which residuals may be unusual, over one time scale.

    `burst`: the mean Huber loss of the last `span` residuals, over all sensors. It sees
    disturbances that spread, whatever their sign. `shift`: the largest Huber loss of the
    sensors' mean residuals over `span` readings. It sees an offset of one sensor that is
    small beside its noise. Source of the loss: Huber (1964), doi:10.1214/aoms/1177703732.
    """

    kind: Kind
    span: int
    """Readings, a power of two."""
    scale_F: FloatArray
    """What a residual, or its mean over `span`, is divided by."""
    typical_F: FloatArray
    """Each sensor's mean loss on normal readings."""
    limit: float
    """The level that about one normal reading in a thousand exceeds."""

    def losses(self, residuals: "Residuals", at: IntArray | slice) -> FloatArray:
        """Each sensor's Huber loss at these positions, shape (B, F).

        The first `span` - 1 positions of a unit are of no meaning.
        """
        if self.kind == "burst":
            return residuals.losses(self.scale_F).mean(self.span, at)
        return huber(residuals.sums.mean(self.span, at) / self.scale_F)

    def level(self, loss_BF: FloatArray) -> FloatArray:
        """The sensors' losses as one number, shape (B,)."""
        if self.kind == "burst":
            return row_sums(loss_BF) / np.float32(loss_BF.shape[1])
        # By columns: numpy's maximum over a short last axis is ten times as slow.
        return np.asarray(np.ascontiguousarray(loss_BF.T).max(axis=0))


@dataclass(frozen=True, slots=True)
class ResidualScoring:
    """The largest of several statistics of the residuals, each over its own limit.

    The residual is what is left of the newest reading once the networks' reconstruction is
    taken off, each sensor's as far as it is to be trusted.
    """

    trust_F: FloatArray
    """0 to 1: how much of its reconstruction is taken off each sensor. 0 leaves the
    distance from the sensor's mean."""
    is_scored_F: BoolArray
    """The others are context: the networks see them, but no score comes from them."""
    statistics: tuple[Statistic, ...]
    """Their arrays are of the scored sensors alone."""
    signatures: tuple[Signature, ...] = ()
    """What labels taught, if any were given."""

    @property
    def n_memory(self) -> int:
        """See `Scoring`."""
        spans = [statistic.span for statistic in self.statistics]
        return max(*spans, *(s.span for s in self.signatures), 1) - 1

    def measure(
        self, networks: Sequence[Network], x_BTF: Tensor, observed_BTF: Tensor | None
    ) -> Measured:
        """The signed residuals of the newest row; 0 where nothing was measured."""
        newest_BF = mean_newest(networks, x_BTF, observed_BTF)
        trust_F = torch.from_numpy(self.trust_F).to(x_BTF.device)
        expected_BF = trust_F * newest_BF
        residual_BF = x_BTF[:, -1] - expected_BF
        if observed_BTF is not None:
            residual_BF *= observed_BTF[:, -1]
        return Measured(residual_BF, expected_BF)

    def surprise(
        self, flat_MC: FloatArray, position_B: IntArray, n_before_B: IntArray
    ) -> Surprise:
        """See `Scoring`. A statistic counts once its unit has `span` residuals."""
        n_parts = max(1, min(flat_MC.size // PART_VALUES, len(position_B)))
        parts = []
        for at_B in np.array_split(position_B, n_parts):
            first, behind = (at_B[0] - self.n_memory, at_B[-1] + 1) if len(at_B) else (0, 0)
            first = max(first, 0)
            parts.append(self._looked_at(flat_MC[first:behind], at_B - first))
        # Once for all parts: what follows is small, and many calls.
        seen = [np.concatenate(of_parts) for of_parts in zip(*parts, strict=True)]
        n = len(self.statistics)
        return self._largest(seen[:n], seen[n:], n_before_B, flat_MC.shape[1])

    def _looked_at(self, flat_MC: FloatArray, position_B: IntArray) -> list[FloatArray]:
        """Each statistic's losses, then each signature's features, shape (B, F)."""
        residual_MF = flat_MC if self.is_scored_F.all() else flat_MC[:, self.is_scored_F]
        n_each = self.n_memory + 1
        is_one_each = np.array_equal(
            position_B, np.arange(n_each - 1, len(flat_MC), n_each)
        )
        residuals = Residuals(residual_MF, n_each if is_one_each else None)
        return [
            *(statistic.losses(residuals, position_B) for statistic in self.statistics),
            *(signature.features(residuals, position_B) for signature in self.signatures),
        ]

    def _largest(
        self,
        losses: list[FloatArray],
        features: list[FloatArray],
        n_before_B: IntArray,
        n_sensors: int,
    ) -> Surprise:
        """The largest statistic of each window, and what made it so."""
        score_B = np.zeros(len(n_before_B), dtype=np.float32)
        number_B = np.zeros(len(n_before_B), dtype=np.int64)
        for number, statistic in enumerate(self.statistics):
            level_B = statistic.level(losses[number]) / np.float32(statistic.limit)
            is_largest_B = (level_B > score_B) & (n_before_B >= statistic.span - 1)
            score_B = np.where(is_largest_B, level_B, score_B)
            number_B[is_largest_B] = number
        loss_BF = np.stack(losses)[number_B, np.arange(len(number_B))]
        loss_BF[score_B <= 0.0] = 0.0
        typical_SF = np.stack([statistic.typical_F for statistic in self.statistics])
        excess_BF = _excess(loss_BF, typical_SF[number_B])
        for signature, feature_BF in zip(self.signatures, features, strict=True):
            is_whole_B = n_before_B >= signature.span - 1
            score_B = score_B * signature.factor(feature_BF, is_whole_B)
        share_BF = np.zeros((len(score_B), n_sensors), dtype=np.float32)
        total_B = np.maximum(row_sums(excess_BF), np.finfo(np.float32).tiny)
        share_BF[:, self.is_scored_F] = excess_BF / total_B[:, None]
        return Surprise(score_B, share_BF)


def mean_newest(
    networks: Sequence[Network], x_BTF: Tensor, observed_BTF: Tensor | None
) -> Tensor:
    """The newest row as all members of all networks reconstruct it on average, (B, F)."""
    if observed_BTF is not None:
        x_BTF = with_silent_sensors(networks, x_BTF, observed_BTF)
    means = [mean_of(network.newest(x_BTF).unbind()) for network in networks]
    return mean_of(means)


def row_sums(x_BF: FloatArray) -> FloatArray:
    """Each row's sum. Five times as fast as numpy's `sum` over a short last axis."""
    return np.asarray(np.einsum("bf->b", x_BF))


def _excess(loss_BF: FloatArray, typical_BF: FloatArray) -> FloatArray:
    """Each sensor's loss above its usual one; the loss itself where none is."""
    excess_BF = np.maximum(loss_BF - typical_BF, 0.0)
    is_usual_B = row_sums(excess_BF) <= 0.0
    excess_BF[is_usual_B] = loss_BF[is_usual_B]
    return np.asarray(excess_BF)
