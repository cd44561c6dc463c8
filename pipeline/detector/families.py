"""The model families by the name that `--model` and the manifest use."""

from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.convolutional import ConvolutionalAutoencoder
from pipeline.detector.denoising import (
    DenoisingAutoencoder,
    DenoisingVariationalAutoencoder,
)
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.recurrent import RecurrentAutoencoder
from pipeline.detector.variational import VariationalAutoencoder

FAMILIES: dict[str, type[Network]] = {
    "ae": Autoencoder,
    "vae": VariationalAutoencoder,
    "dae": DenoisingAutoencoder,
    "dvae": DenoisingVariationalAutoencoder,
    "conv": ConvolutionalAutoencoder,
    "gru": RecurrentAutoencoder,
}

VARIATIONAL = ("vae", "dvae")
"""Those that have an ELBO."""


def build_network(family: str, shape: NetworkShape) -> Network:
    """Untrained networks of this family, a key of `FAMILIES`."""
    return FAMILIES[family](shape)
