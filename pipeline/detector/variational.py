"""The variational autoencoder (VAE)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.detector.network import (
    Network,
    NetworkShape,
    network_input,
    per_observed,
)
from pipeline.detector.rows import by_row, mean_of
from pipeline.detector.stacked import DenseLayers

N_SAMPLES = 8
"""Monte Carlo samples of the latent vector, where an expectation over it is taken."""
MIN_LOG_VARIANCE = math.log(1e-3)
"""Of an observation, in scaled units. A sensor that stands still would drive it to
-infinity, and with it the error of its first move to +infinity."""
MAX_LATENT_LOG_VARIANCE = 10.0


class NegativeElbo(NamedTuple):
    """Negative evidence lower bound of windows, in nats, mean over the members.

    Above that of a perfect reconstruction at the prior, so that both parts are >= 0.
    """

    sensor_BF: Tensor
    """The reconstruction term, the negative log of the reconstruction probability, split
    by sensor."""
    kl_B: Tensor
    """The KL divergence of the latent Gaussian from the prior."""


class VariationalAutoencoder(Network):
    """A probabilistic autoencoder.

    The encoder gives the mean and log-variance of a Gaussian over the latent vector, the
    decoder the mean of every value; each sensor has one learned observation variance, which
    balances reconstruction against the KL term without a weight to tune.

    Sources: Kingma & Welling (2014), arXiv:1312.6114; the learned observation variance:
    Rybkin et al. (2021), arXiv:2006.13202.
    """

    latent_noise_MSL: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__(shape)
        n_members, latent = shape.n_members, shape.latent
        n_values = shape.window * shape.n_sensors
        self.encoder = DenseLayers(n_members, n_values, shape.hidden, 2 * latent)
        self.decoder = DenseLayers(n_members, latent, shape.hidden, n_values)
        self.log_variance_MF = nn.Parameter(torch.zeros(n_members, shape.n_sensors))
        # The same draws for every window, stored with the weights: a window has one score,
        # on any machine, wherever in a batch it stands. Antithetic pairs halve the noise.
        generator = torch.Generator().manual_seed(0)
        if self.log_variance_MF.is_meta:
            # `load` builds it without memory, and fills it from a file.
            noise_MSL = torch.empty(n_members, N_SAMPLES, latent)
        else:
            # On the generator's own device, whatever device the network is built on.
            half_SL = torch.randn(N_SAMPLES // 2, latent, generator=generator, device="cpu")
            noise_MSL = torch.cat([half_SL, -half_SL]).repeat(n_members, 1, 1)
        self.register_buffer("latent_noise_MSL", noise_MSL)

    def encode(self, x_MBTF: Tensor) -> Tensor:
        """See `Network.encode`; the latent mean."""
        return self.posterior(x_MBTF)[0]

    def posterior(self, x_MBTF: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent Gaussian, each of shape (M, B, L)."""
        encoded_MBL = self.encoder(network_input(x_MBTF).flatten(2))
        mean_MBL, log_variance_MBL = encoded_MBL.chunk(2, dim=2)
        return mean_MBL, log_variance_MBL.clamp(max=MAX_LATENT_LOG_VARIANCE)

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        """Negative ELBO per observed value, in nats, from one reparameterised sample.

        The KL term is weighted by `warmup`, so that the latent space is in use before it
        is pressed towards the prior. Source: Bowman et al. (2016), arXiv:1511.06349.
        """
        mean_MBL, log_variance_MBL = self.posterior(self.corruption.of(x_MBTF))
        noise_MBL = torch.randn_like(mean_MBL)
        sample_MBL = mean_MBL + noise_MBL * (0.5 * log_variance_MBL).exp()
        error_MBTF = network_input(x_MBTF) - self.decode(sample_MBL)
        log_variance_M11F = self._log_variance()[:, None, None]
        nll_MBTF = 0.5 * (
            error_MBTF.square() * torch.exp(-log_variance_M11F)
            + log_variance_M11F
            + math.log(2 * math.pi)
        )
        kl_M = _kl_to_prior(mean_MBL, log_variance_MBL).sum(dim=1)
        n_observed_M = observed_MBTF.sum(dim=(1, 2, 3)).clamp(min=1.0)
        nll_M = (nll_MBTF * observed_MBTF).sum(dim=(1, 2, 3))
        return (nll_M + warmup * kl_M) / n_observed_M

    def window_errors(self, x_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
        """Each window's negative ELBO per observed value, in nats, from the latent mean.

        Above that of a perfect reconstruction at the prior, as `NegativeElbo` is. The
        observation variance is no way out: it is learned from normal windows alone.
        """
        mean_MBL, log_variance_MBL = self.posterior(x_MBTF)
        precision_M11F = torch.exp(-self._log_variance().detach())[:, None, None]
        squared_MBTF = (network_input(x_MBTF) - self.decode(mean_MBL)).square()
        kl_MB = _kl_to_prior(mean_MBL, log_variance_MBL)
        n_observed_MB = observed_MBTF.sum(dim=(2, 3)).clamp(min=1.0)
        nll_MB = per_observed(0.5 * squared_MBTF * precision_M11F, observed_MBTF)
        return nll_MB + kl_MB / n_observed_MB

    def newest(self, x_BTF: Tensor) -> Tensor:
        """See `Network.newest`; from the latent mean, and only that row is decoded."""
        return self.decoder.last_outputs(self.encode(x_BTF[None]), self.shape.n_sensors)

    def negative_elbo(self, x_BTF: Tensor, observed_BTF: Tensor) -> NegativeElbo:
        """How improbable windows are. A function of each window alone: no randomness."""
        mean_MBL, log_variance_MBL = self.posterior(x_BTF[None])
        std_MBL = by_row(torch.exp, 0.5 * log_variance_MBL)
        precision_MF = torch.exp(-self._log_variance())
        sensor_MBF = torch.zeros_like(mean_MBL[:, :, :1])
        for noise_ML in self.latent_noise_MSL.unbind(dim=1):
            mean_MBTF = self.decode(mean_MBL + noise_ML[:, None] * std_MBL)
            squared_MBTF = (x_BTF - mean_MBTF).square() * observed_BTF
            sensor_MBF = sensor_MBF + squared_MBTF.sum(dim=2)
        sensor_MBF = sensor_MBF * precision_MF[:, None] / (2 * N_SAMPLES)
        return NegativeElbo(
            sensor_BF=mean_of(sensor_MBF.unbind()) * _made_up_for(observed_BTF)[:, None],
            kl_B=mean_of(_kl_to_prior(mean_MBL, log_variance_MBL).unbind()),
        )

    def decode(self, latent_MBL: Tensor) -> Tensor:
        """See `Network.decode`; the mean of every value."""
        values_MBV: Tensor = self.decoder(latent_MBL)
        n_members, n_windows, _ = values_MBV.shape
        sizes = (n_members, n_windows, self.shape.window, self.shape.n_sensors)
        return values_MBV.reshape(sizes)

    def observation_std(self) -> Tensor:
        """The learned standard deviation of an observation, scaled, shape (M, F)."""
        return (0.5 * self._log_variance()).exp()

    def _log_variance(self) -> Tensor:
        # Softly bounded: a hard clamp would stop the gradient at the bound for good.
        return MIN_LOG_VARIANCE + nn.functional.softplus(
            self.log_variance_MF - MIN_LOG_VARIANCE
        )


def _kl_to_prior(mean_MBL: Tensor, log_variance_MBL: Tensor) -> Tensor:
    """KL divergence of each latent Gaussian from N(0, 1), in nats, shape (M, B)."""
    variance_MBL = by_row(torch.exp, log_variance_MBL)
    return 0.5 * (mean_MBL.square() + variance_MBL - log_variance_MBL - 1.0).sum(dim=2)


MIN_OBSERVED_SHARE = 0.25
"""Of a window's values. With fewer observed it is scaled up no further: one outlying value
among few must not count for many."""


def _made_up_for(observed_BTF: Tensor) -> Tensor:
    """What a window's sum over its observed values is scaled up by, shape (B,).

    A sum over n of N values by sqrt(N / n), at most twofold, so that among normal windows
    it spreads as a full one does. By N / n its mean would be a full one's but its spread
    sqrt(N / n) times that, which the threshold, far out in the tail of full windows, takes
    for anomalies.
    """
    n_values = observed_BTF.shape[1] * observed_BTF.shape[2]
    n_observed_B = observed_BTF.sum(dim=(1, 2)).clamp(min=MIN_OBSERVED_SHARE * n_values)
    return (n_values / n_observed_B).sqrt()
