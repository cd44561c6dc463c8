"""The variational autoencoder (VAE)."""

import math

import torch
from torch import Tensor, nn

from pipeline.detector.network import (
    Errors,
    Network,
    NetworkShape,
    decoder_layers,
    encoder_layers,
    network_input,
    sum_over_time,
)

N_SAMPLES = 8
"""Monte Carlo samples of the latent vector per scored window."""
MIN_LOG_VARIANCE = math.log(1e-3)
"""Of an observation, in scaled units. A sensor that stands still would drive it to
-infinity, and with it the error of its first move to +infinity."""
MAX_LATENT_LOG_VARIANCE = 10.0


class VariationalAutoencoder(Network):
    """A probabilistic autoencoder; the negative evidence lower bound (ELBO) is the score.

    The encoder gives the mean and log-variance of a Gaussian over the latent vector, the
    decoder the mean of every value; each sensor has one learned observation variance, which
    balances reconstruction against the KL term without a weight to tune.

    Sources: Kingma & Welling (2014), arXiv:1312.6114; the learned observation variance:
    Rybkin et al. (2021), arXiv:2006.13202.
    """

    latent_noise_SL: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        self.encoder = encoder_layers(shape, 2 * shape.latent)
        self.decoder = decoder_layers(shape)
        self.log_variance_F = nn.Parameter(torch.zeros(shape.n_sensors))
        # The same draws for every window, stored with the weights: a window has one score,
        # on any machine, wherever in a batch it stands. Antithetic pairs halve the noise.
        generator = torch.Generator().manual_seed(0)
        # On the generator's own device, whatever device the network is built on: `load`
        # builds it without memory.
        half_SL = torch.randn(
            N_SAMPLES // 2, shape.latent, generator=generator, device="cpu"
        )
        self.register_buffer("latent_noise_SL", torch.cat([half_SL, -half_SL]))

    def encode(self, x_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent Gaussian, each of shape (B, L)."""
        mean_BL, log_variance_BL = self.encoder(network_input(x_BTF)).chunk(2, dim=1)
        return mean_BL, log_variance_BL.clamp(max=MAX_LATENT_LOG_VARIANCE)

    def loss(self, x_BTF: Tensor, observed_BTF: Tensor, warmup: float) -> Tensor:
        """Negative ELBO per observed value, in nats, from one reparameterised sample.

        The KL term is weighted by `warmup`, so that the latent space is in use before it
        is pressed towards the prior. Source: Bowman et al. (2016), arXiv:1511.06349.
        """
        target_BTF = network_input(x_BTF)
        mean_BL, log_variance_BL = self.encode(x_BTF)
        noise_BL = torch.randn_like(mean_BL)
        mean_BTF = self.decoder(mean_BL + noise_BL * (0.5 * log_variance_BL).exp())
        log_variance_F = self._log_variance()
        nll_BTF = 0.5 * (
            torch.square(target_BTF - mean_BTF) * torch.exp(-log_variance_F)
            + log_variance_F
            + math.log(2 * math.pi)
        )
        kl = _kl_to_prior(mean_BL, log_variance_BL).sum()
        n_observed = observed_BTF.sum().clamp(min=1.0)
        return ((nll_BTF * observed_BTF).sum() + warmup * kl) / n_observed

    def errors(self, x_BTF: Tensor, observed_BTF: Tensor) -> Errors:
        """Negative ELBO in nats, above that of a perfect reconstruction, split by sensor.

        That of a perfect reconstruction at the prior, T/2 * sum(log(2 pi variance_F)), is
        the same for every window and may be negative. Without it the score is >= 0 and a
        multiple of the threshold means something; the order of windows does not change.
        """
        mean_BL, log_variance_BL = self.encode(x_BTF)
        latent_std_BL = (0.5 * log_variance_BL).exp()
        precision_F = torch.exp(-self._log_variance())
        squared_BTF = torch.zeros_like(x_BTF)
        expected_BF = torch.zeros_like(x_BTF[:, -1])
        n_samples = len(self.latent_noise_SL)
        for noise_L in self.latent_noise_SL:
            mean_BTF = self.decoder(mean_BL + noise_L * latent_std_BL)
            squared_BTF += torch.square(x_BTF - mean_BTF) / n_samples
            expected_BF += mean_BTF[:, -1] / n_samples
        return Errors(
            sensor_BF=sum_over_time(0.5 * squared_BTF * precision_F, observed_BTF),
            rest_B=_kl_to_prior(mean_BL, log_variance_BL),
            expected_BF=expected_BF,
        )

    def _log_variance(self) -> Tensor:
        # Softly bounded: a hard clamp would stop the gradient at the bound for good.
        return MIN_LOG_VARIANCE + nn.functional.softplus(
            self.log_variance_F - MIN_LOG_VARIANCE
        )


def _kl_to_prior(mean_BL: Tensor, log_variance_BL: Tensor) -> Tensor:
    """KL divergence of each latent Gaussian from N(0, 1), in nats, shape (B,)."""
    return 0.5 * (
        torch.square(mean_BL) + log_variance_BL.exp() - log_variance_BL - 1.0
    ).sum(dim=1)
