"""What is particular to the autoencoder and to the variational autoencoder."""

import pytest
import torch
from torch import nn

from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import NetworkShape, default_shape, sum_over_time
from pipeline.detector.variational import VariationalAutoencoder

SHAPE = NetworkShape(window=4, n_sensors=2, hidden=16, latent=3)


def windows(n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled windows, all of them observed."""
    generator = torch.Generator().manual_seed(1)
    x_BTF = torch.randn(n, 4, 2, generator=generator)
    return x_BTF, torch.ones_like(x_BTF)


def test_an_autoencoders_error_is_its_mean_squared_reconstruction_error() -> None:
    network = Autoencoder(SHAPE)
    x_BTF, observed_BTF = windows()

    errors = network.errors(x_BTF, observed_BTF)

    expected_B = torch.square(x_BTF - network(x_BTF)).mean(dim=(1, 2))
    torch.testing.assert_close(errors.sensor_BF.sum(dim=1), expected_B)
    assert (errors.rest_B == 0).all()
    torch.testing.assert_close(network.loss(x_BTF, observed_BTF, 1.0), expected_B.mean())


def test_a_variational_autoencoders_error_is_its_negative_elbo_above_the_best() -> None:
    network = VariationalAutoencoder(SHAPE)
    # An encoder that knows nothing and a decoder that says 0: the prior for every window.
    for name, parameter in network.named_parameters():
        if name.startswith(("encoder.3", "decoder.2")):
            nn.init.zeros_(parameter)
    x_BTF, observed_BTF = windows()

    errors = network.errors(x_BTF, observed_BTF)

    # KL 0, mean 0 and variance 1 (softly bounded below, so not quite).
    expected_BF = 0.5 * torch.square(x_BTF).sum(dim=1)
    torch.testing.assert_close(errors.sensor_BF, expected_BF, rtol=2e-3, atol=0)
    assert (errors.rest_B == 0).all()


def test_what_the_latent_vector_costs_belongs_to_no_sensor() -> None:
    network = VariationalAutoencoder(SHAPE)
    parameters = dict(network.named_parameters())
    nn.init.zeros_(parameters["encoder.3.weight"])
    with torch.no_grad():
        parameters["encoder.3.bias"].copy_(torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))

    # KL(N(1, 1) || N(0, 1)) = 1/2 for each of three latent values.
    torch.testing.assert_close(network.errors(*windows()).rest_B, torch.full((5,), 1.5))


@pytest.mark.parametrize("warmup", [0.25, 1.0])
def test_a_variational_autoencoders_kl_term_is_weighted_by_the_warm_up(
    warmup: float,
) -> None:
    network = VariationalAutoencoder(SHAPE)
    x_BTF, observed_BTF = windows()

    def loss(warmup: float) -> torch.Tensor:
        torch.manual_seed(0)  # the same sample of the latent vector
        return network.loss(x_BTF, observed_BTF, warmup)

    kl = network.errors(x_BTF, observed_BTF).rest_B.sum() / observed_BTF.sum()
    assert kl > 1e-3
    torch.testing.assert_close(loss(warmup) - loss(0.0), warmup * kl, rtol=1e-3, atol=1e-6)


def test_a_variational_autoencoders_samples_are_stored_with_its_weights() -> None:
    first, second = VariationalAutoencoder(SHAPE), VariationalAutoencoder(SHAPE)

    assert "latent_noise_SL" in first.state_dict()
    assert torch.equal(first.latent_noise_SL, second.latent_noise_SL)
    torch.testing.assert_close(first.latent_noise_SL.sum(dim=0), torch.zeros(3))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_missing_values_are_not_learned_from(family: str) -> None:
    network = build_network(family, SHAPE)
    x_BTF, observed_BTF = windows()
    observed_BTF[:, 2, 1] = 0.0

    torch.manual_seed(0)
    loss = network.loss(x_BTF, observed_BTF, 1.0)

    # The last layer's bias of a value never observed has no gradient; all others have.
    [gradient_M] = torch.autograd.grad(
        loss, dict(network.named_parameters())["decoder.2.bias"]
    )
    gradient_TF = gradient_M.reshape(4, 2)
    assert gradient_TF[2, 1] == 0
    assert (gradient_TF != 0).sum() == 7


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_one_fault_in_the_history_does_not_own_the_gradient(family: str) -> None:
    network = build_network(family, SHAPE)
    x_BTF, observed_BTF = windows()
    x_BTF[0, 0, 0] = 1e6

    assert network.loss(x_BTF, observed_BTF, 1.0) < 1_000


@pytest.mark.parametrize(
    ("n_observed", "factor"), [(8, 1.0), (6, (8 / 6) ** 0.5), (2, 2.0), (1, 2.0), (0, 0.0)]
)
def test_missing_values_are_made_up_for_by_a_root_and_at_most_twofold(
    n_observed: int, factor: float
) -> None:
    ones_BTF = torch.ones(1, 4, 2)
    observed_BTF = (torch.arange(8) < n_observed).float().reshape(1, 4, 2)

    sums_BF = sum_over_time(ones_BTF, observed_BTF)

    torch.testing.assert_close(sums_BF, factor * observed_BTF.sum(dim=1))


@pytest.mark.parametrize(
    ("window", "n_sensors", "hidden", "latent"),
    [(2, 1, 16, 4), (32, 8, 64, 16), (1_000, 20, 512, 64)],
)
def test_sizes_follow_the_window_within_bounds(
    window: int, n_sensors: int, hidden: int, latent: int
) -> None:
    shape = default_shape(window, n_sensors)

    assert shape == NetworkShape(window, n_sensors, hidden, latent)
