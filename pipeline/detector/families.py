"""The model families by the name that `--model` and the manifest use."""

from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.variational import VariationalAutoencoder

FAMILIES: dict[str, type[Network]] = {
    "ae": Autoencoder,
    "vae": VariationalAutoencoder,
}


def build_network(family: str, shape: NetworkShape) -> Network:
    """An untrained network of this family, a key of `FAMILIES`."""
    return FAMILIES[family](shape)
