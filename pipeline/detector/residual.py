"""Scoring by the residual of the newest reading, watched over several time scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import with_silent_sensors
from pipeline.detector.network import Network
from pipeline.detector.rows import mean_of
from pipeline.detector.scoring import Measured, Surprise
from pipeline.detector.signature import Signature
from pipeline.records import BoolArray, FloatArray, IntArray

HUBER_KNEE = 3.0
"""In normal standard deviations. Beyond it a residual counts in proportion, not squared:
rare, far outliers are part of what many sensors do."""
Kind = Literal["burst", "shift"]
PART_VALUES = 2**16
"""Residuals that are worked on at a time: 256 KiB stay in the caches."""


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
        for part in np.array_split(np.arange(len(position_B)), n_parts):
            at_B = position_B[part]
            first, behind = (at_B[0] - self.n_memory, at_B[-1] + 1) if len(at_B) else (0, 0)
            first = max(first, 0)
            parts.append(
                self._surprise(flat_MC[first:behind], at_B - first, n_before_B[part])
            )
        return Surprise(*map(np.concatenate, zip(*parts, strict=True)))

    def _surprise(
        self, flat_MC: FloatArray, position_B: IntArray, n_before_B: IntArray
    ) -> Surprise:
        residuals = Residuals(flat_MC[:, self.is_scored_F])
        score_B = np.zeros(len(position_B), dtype=np.float32)
        n_scored = int(self.is_scored_F.sum())
        excess_BF = np.zeros((len(position_B), n_scored), dtype=np.float32)
        for statistic in self.statistics:
            loss_BF = statistic.losses(residuals, position_B)
            level_B = statistic.level(loss_BF) / np.float32(statistic.limit)
            is_largest_B = (level_B > score_B) & (n_before_B >= statistic.span - 1)
            score_B = np.where(is_largest_B, level_B, score_B)
            largest = np.flatnonzero(is_largest_B)
            excess_BF[largest] = _excess(loss_BF[largest], statistic.typical_F)
        for signature in self.signatures:
            is_whole_B = n_before_B >= signature.span - 1
            score_B = score_B * signature.factor(residuals, position_B, is_whole_B)
        share_BF = np.zeros((len(position_B), flat_MC.shape[1]), dtype=np.float32)
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


def huber(z: FloatArray) -> FloatArray:
    """The Huber loss of standardised residuals, >= 0."""
    # In place: fresh memory costs more than the sums.
    size = np.abs(z)
    clipped = np.minimum(size, np.float32(HUBER_KNEE))
    size -= np.float32(0.5) * clipped
    size *= clipped
    return np.asarray(size)


class TrailingSums:
    """Sums of each row and those before it, over ever longer spans.

    By doubling: so that a sum is the same to the last bit wherever in an array its row
    stands, and each span begins with the one before it.
    """

    def __init__(self, x_MF: FloatArray) -> None:
        self._x_MF = x_MF
        self._span, self._sums_MF = 1, x_MF
        self._spare_MF: FloatArray | None = None

    def mean(self, span: int, at: IntArray | slice) -> FloatArray:
        """The mean of these rows and the `span` - 1 rows before each, shape (B, F).

        Of the first `span` - 1 rows it is of no meaning.

        Raises:
            ValueError: `span` is not a power of two.
        """
        if span < 1 or span & (span - 1):
            raise ValueError(f"a span is a power of two, got {span}")
        if span < self._span:
            self._span, self._sums_MF, self._spare_MF = 1, self._x_MF, None
        while self._span < span:
            n, sums_MF = self._span, self._sums_MF
            spare_MF = self._spare_MF
            doubled_MF = np.empty_like(sums_MF) if spare_MF is None else spare_MF
            doubled_MF[:n] = sums_MF[:n]
            np.add(sums_MF[n:], sums_MF[:-n], out=doubled_MF[n:])
            self._spare_MF = None if n == 1 else sums_MF
            self._span, self._sums_MF = 2 * n, doubled_MF
        # In one order of memory, on which the last bit of a sum over sensors depends.
        return np.ascontiguousarray(self._sums_MF[at]) / np.float32(span)


class Residuals:
    """Residuals of units, one unit after the other, and what statistics of one poll share
    of the work on them."""

    def __init__(self, residual_MF: FloatArray) -> None:
        self._residual_MF = residual_MF
        self.sums = TrailingSums(residual_MF)
        self._losses: dict[bytes, TrailingSums] = {}

    def losses(self, scale_F: FloatArray) -> TrailingSums:
        """Of the Huber losses on this scale, which is mostly one for all bursts."""
        key = scale_F.tobytes()
        if key not in self._losses:
            self._losses[key] = TrailingSums(huber(self._residual_MF / scale_F))
        return self._losses[key]


def row_sums(x_BF: FloatArray) -> FloatArray:
    """Each row's sum. Five times as fast as numpy's `sum` over a short last axis."""
    return np.asarray(np.einsum("bf->b", x_BF))


def _excess(loss_BF: FloatArray, typical_F: FloatArray) -> FloatArray:
    """Each sensor's loss above its usual one; the loss itself where none is."""
    excess_BF = np.maximum(loss_BF - typical_F, 0.0)
    is_usual_B = row_sums(excess_BF) <= 0.0
    excess_BF[is_usual_B] = loss_BF[is_usual_B]
    return np.asarray(excess_BF)
