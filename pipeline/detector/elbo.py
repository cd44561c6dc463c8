"""Scoring whole windows by a VAE: its ELBO, or the reconstruction probability alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.network import Network
from pipeline.detector.residual import mean_newest
from pipeline.detector.rows import mean_of
from pipeline.detector.scoring import Measured, Surprise
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.errors import DetectorError
from pipeline.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ElboScoring:
    """How improbable a whole window is, over a limit.

    With `has_kl` the negative ELBO, without it the reconstruction term alone. Source of the
    latter: An & Cho (2015), SNU Data Mining Center, Special Lecture on IE 2(1).
    """

    has_kl: bool
    limit: float
    """In nats. The level that about one normal window in a thousand exceeds."""

    @property
    def n_memory(self) -> int:
        """A score depends on its own window alone."""
        return 0

    def measure(
        self, networks: Sequence[Network], x_BTF: Tensor, observed_BTF: Tensor | None
    ) -> Measured:
        """Each sensor's part in nats, and the KL divergence as the last column.

        Raises:
            DetectorError: a network is not variational.
        """
        if observed_BTF is None:
            observed_BTF = torch.ones_like(x_BTF)
        parts = []
        for network in networks:
            if not isinstance(network, VariationalAutoencoder):
                raise DetectorError(
                    f"{type(network).__name__} has no ELBO; only a VAE is scored by it"
                )
            elbo = network.negative_elbo(x_BTF, observed_BTF)
            kl_B = elbo.kl_B if self.has_kl else torch.zeros_like(elbo.kl_B)
            parts.append(torch.cat([elbo.sensor_BF, kl_B[:, None]], dim=1))
        newest_BF = mean_newest(networks, x_BTF, observed_BTF)
        return Measured(mean_of(parts), newest_BF)

    def surprise(
        self, flat_MC: FloatArray, position_B: IntArray, n_before_B: IntArray
    ) -> Surprise:
        """See `Scoring`. The shares are of the reconstruction term."""
        nats_BC = flat_MC[position_B]
        score_B = nats_BC.sum(axis=1) / np.float32(self.limit)
        sensor_BF = nats_BC[:, :-1]
        total_B = np.maximum(sensor_BF.sum(axis=1), np.finfo(np.float32).tiny)
        return Surprise(score_B, np.asarray(sensor_BF / total_B[:, None]))
