"""Denoising variants: trained to mend windows of which sensors were dropped."""

import torch
from torch import Tensor

from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.variational import VariationalAutoencoder

DROP_SHARE = 0.25
"""Of the sensors of a training window, each dropped over the whole window."""


def without_some_sensors(x_MBTF: Tensor) -> Tensor:
    """Windows in which a random quarter of the sensors stands at its mean.

    A sensor must then be reconstructed from the others, not copied: a fault in it is not
    copied either. Source: Vincent et al. (2008), doi:10.1145/1390156.1390294.
    """
    n_members, n_windows, _, n_sensors = x_MBTF.shape
    keep = torch.rand(n_members, n_windows, 1, n_sensors, device=x_MBTF.device)
    return x_MBTF * (keep > DROP_SHARE)


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that learns to fill in sensors that were dropped."""

    def corrupted(self, x_MBTF: Tensor) -> Tensor:
        """`x_MBTF` with sensors dropped."""
        return without_some_sensors(x_MBTF)


class DenoisingVariationalAutoencoder(VariationalAutoencoder):
    """A VAE that learns to fill in sensors that were dropped.

    Source: Im et al. (2017), arXiv:1511.06406.
    """

    def corrupted(self, x_MBTF: Tensor) -> Tensor:
        """`x_MBTF` with sensors dropped."""
        return without_some_sensors(x_MBTF)
