"""The dense autoencoder (AE)."""

from torch import Tensor

from pipeline.detector.network import Network, NetworkShape, mean_squared, network_input
from pipeline.detector.stacked import DenseLayers


class Autoencoder(Network):
    """Learns to copy normal windows through a bottleneck.

    Source: Sakurada & Yairi (2014), doi:10.1145/2689746.2689747.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        n_values = shape.window * shape.n_sensors
        self.encoder = DenseLayers(shape.n_members, n_values, shape.hidden, shape.latent)
        self.decoder = DenseLayers(shape.n_members, shape.latent, shape.hidden, n_values)

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        """Mean squared reconstruction error over the observed values.

        Taken on clipped values: one fault in the history must not own the gradient.
        """
        error_MBTF = network_input(x_MBTF) - self.reconstruct(self.corruption.of(x_MBTF))
        return mean_squared(error_MBTF, observed_MBTF)

    def encode(self, x_MBTF: Tensor) -> Tensor:
        """See `Network.encode`."""
        latent_MBL: Tensor = self.encoder(network_input(x_MBTF).flatten(2))
        return latent_MBL

    def decode(self, latent_MBL: Tensor) -> Tensor:
        """See `Network.decode`."""
        values_MBV: Tensor = self.decoder(latent_MBL)
        n_members, n_windows, _ = values_MBV.shape
        sizes = (n_members, n_windows, self.shape.window, self.shape.n_sensors)
        return values_MBV.reshape(sizes)

    def newest(self, x_BTF: Tensor) -> Tensor:
        """See `Network.newest`; only that row is decoded."""
        return self.decoder.last_outputs(self.encode(x_BTF[None]), self.shape.n_sensors)
