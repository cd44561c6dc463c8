"""Denoising variants: trained to mend windows of which sensors were dropped."""

from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.corruption import Corruption
from pipeline.detector.variational import VariationalAutoencoder

DROPPED = Corruption(sensors=0.25)


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that learns to fill in sensors that were dropped.

    Source: Vincent et al. (2008), doi:10.1145/1390156.1390294.
    """

    corruption = DROPPED


class DenoisingVariationalAutoencoder(VariationalAutoencoder):
    """A VAE that learns to fill in sensors that were dropped.

    Source: Im et al. (2017), arXiv:1511.06406.
    """

    corruption = DROPPED
