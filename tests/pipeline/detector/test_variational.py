"""What is particular to the variational autoencoders."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.detector.denoising import DenoisingVariationalAutoencoder
from pipeline.detector.network import NetworkShape
from pipeline.detector.variational import VariationalAutoencoder

M, B, T, F = 3, 5, 6, 2
SHAPE = NetworkShape(window=T, n_sensors=F, hidden=16, latent=4, n_members=M)


def variational(shape: NetworkShape = SHAPE) -> VariationalAutoencoder:
    torch.manual_seed(0)
    return VariationalAutoencoder(shape).eval()


def windows() -> Tensor:
    return torch.randn(B, T, F, generator=torch.Generator().manual_seed(1))


def at_the_prior(net: VariationalAutoencoder) -> VariationalAutoencoder:
    """An encoder that knows nothing, a decoder that says 0: the prior for each window."""
    for layers in (net.encoder, net.decoder):
        nn.init.zeros_(layers.second.weight)
    return net


@pytest.mark.parametrize(
    "family", [VariationalAutoencoder, DenoisingVariationalAutoencoder]
)
def test_neither_part_of_the_negative_elbo_is_below_zero(
    family: type[VariationalAutoencoder],
) -> None:
    net, x_BTF = family(SHAPE), windows()

    sensor_BF, kl_B = net.negative_elbo(x_BTF, torch.ones_like(x_BTF))

    assert sensor_BF.shape == (B, F)
    assert (sensor_BF > 0).all()
    assert kl_B.shape == (B,)
    assert (kl_B > 0).all()


def test_a_windows_negative_elbo_is_the_same_each_time_in_any_batch() -> None:
    net, x_BTF = variational(), windows()
    observed_BTF = torch.ones_like(x_BTF)

    first, again = (net.negative_elbo(x_BTF, observed_BTF) for _ in range(2))
    alone = net.negative_elbo(x_BTF[3:4], observed_BTF[3:4])

    assert torch.equal(first.sensor_BF, again.sensor_BF)
    assert torch.equal(first.kl_B, again.kl_B)
    torch.testing.assert_close(alone.sensor_BF[0], first.sensor_BF[3])
    torch.testing.assert_close(alone.kl_B[0], first.kl_B[3])


def test_the_negative_elbo_is_the_mean_over_the_members() -> None:
    net, x_BTF = variational(), windows()
    observed_BTF = torch.ones_like(x_BTF)

    parts = [net.member(m).negative_elbo(x_BTF, observed_BTF) for m in range(M)]

    together = net.negative_elbo(x_BTF, observed_BTF)
    sensor_MBF = torch.stack([part.sensor_BF for part in parts])
    kl_MB = torch.stack([part.kl_B for part in parts])
    torch.testing.assert_close(together.sensor_BF, sensor_MBF.mean(dim=0))
    torch.testing.assert_close(together.kl_B, kl_MB.mean(dim=0))


def test_at_the_prior_a_window_costs_half_its_squares() -> None:
    net, x_BTF = at_the_prior(variational()), windows()

    sensor_BF, kl_B = net.negative_elbo(x_BTF, torch.ones_like(x_BTF))

    # Mean 0 and variance 1 (softly bounded below, so not quite).
    torch.testing.assert_close(
        sensor_BF, 0.5 * x_BTF.square().sum(dim=1), rtol=2e-3, atol=0
    )
    assert (kl_B == 0).all()


def test_what_the_latent_vector_costs_belongs_to_no_sensor() -> None:
    net = at_the_prior(variational())
    with torch.no_grad():
        net.encoder.second.bias[:, :, : SHAPE.latent] = 1.0

    _, kl_B = net.negative_elbo(windows(), torch.ones(B, T, F))

    # KL(N(1, 1) || N(0, 1)) = 1/2 for each of four latent values.
    torch.testing.assert_close(kl_B, torch.full((B,), 2.0))


@pytest.mark.parametrize("warmup", [0.25, 1.0])
def test_a_variational_autoencoders_kl_term_is_weighted_by_the_warm_up(
    warmup: float,
) -> None:
    net, x_BTF = variational(NetworkShape(T, F, hidden=16, latent=4)), windows()
    observed_BTF = torch.ones_like(x_BTF)
    kl = net.negative_elbo(x_BTF, observed_BTF).kl_B.sum() / observed_BTF.sum()

    def warm(warmup: float) -> Tensor:
        torch.manual_seed(0)  # the same sample of the latent vector
        return net.loss(x_BTF[None], observed_BTF[None], warmup)

    assert kl > 1e-3
    torch.testing.assert_close(warm(warmup) - warm(0.0), warmup * kl[None])


def test_a_variational_autoencoders_samples_are_stored_with_its_weights() -> None:
    first, second = VariationalAutoencoder(SHAPE), VariationalAutoencoder(SHAPE)

    assert "latent_noise_MSL" in first.state_dict()
    assert torch.equal(first.latent_noise_MSL, second.latent_noise_MSL)
    torch.testing.assert_close(first.latent_noise_MSL.sum(dim=1), torch.zeros(M, 4))


@pytest.mark.parametrize(
    ("n_observed", "factor"),
    [(12, 1.0), (9, (12 / 9) ** 0.5), (3, 2.0), (1, 2.0), (0, 0.0)],
)
def test_missing_values_are_made_up_for_by_a_root_and_at_most_twofold(
    n_observed: int, factor: float
) -> None:
    net, ones_BTF = at_the_prior(variational()), torch.ones(1, T, F)
    observed_BTF = (torch.arange(T * F) < n_observed).float().reshape(1, T, F)

    sensor_BF, _ = net.negative_elbo(ones_BTF, observed_BTF)

    expected_BF = factor * 0.5 * observed_BTF.sum(dim=1)
    torch.testing.assert_close(sensor_BF, expected_BF, rtol=2e-3, atol=0)
