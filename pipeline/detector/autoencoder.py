"""The dense autoencoder (AE)."""

import torch
from torch import Tensor

from pipeline.detector.network import (
    Errors,
    Network,
    NetworkShape,
    decoder_layers,
    encoder_layers,
    network_input,
    sum_over_time,
)


class Autoencoder(Network):
    """Learns to copy normal windows through a bottleneck; its error is the score.

    Source: Sakurada & Yairi (2014), doi:10.1145/2689746.2689747.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.encoder = encoder_layers(shape, shape.latent)
        self.decoder = decoder_layers(shape)

    def forward(self, x_BTF: Tensor) -> Tensor:
        """The reconstruction of scaled windows, shape (B, T, F)."""
        reconstruction_BTF: Tensor = self.decoder(self.encoder(network_input(x_BTF)))
        return reconstruction_BTF

    def loss(self, x_BTF: Tensor, observed_BTF: Tensor, warmup: float) -> Tensor:
        """Mean squared reconstruction error over the observed values.

        Taken on clipped values: one fault in the history must not own the gradient.
        """
        target_BTF = network_input(x_BTF)
        squared_BTF = torch.square(target_BTF - self(x_BTF)) * observed_BTF
        return squared_BTF.sum() / observed_BTF.sum().clamp(min=1.0)

    def errors(self, x_BTF: Tensor, observed_BTF: Tensor) -> Errors:
        """Mean squared reconstruction error, dimensionless, split by sensor."""
        reconstruction_BTF = self(x_BTF)
        squared_BTF = torch.square(x_BTF - reconstruction_BTF)
        n_values = x_BTF.shape[1] * x_BTF.shape[2]
        return Errors(
            sensor_BF=sum_over_time(squared_BTF, observed_BTF) / n_values,
            rest_B=x_BTF.new_zeros(len(x_BTF)),
            expected_BF=reconstruction_BTF[:, -1],
        )
