"""What model families learn."""

import math

import pytest
import torch
from torch import Tensor, nn

from pipeline.detector.corruption import Corruption
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import Network, NetworkShape, default_shape


def trained(family: str, shape: NetworkShape, x_BTF: Tensor, n_steps: int) -> Network:
    """Every member trained on batches of its own."""
    torch.manual_seed(0)
    net = build_network(family, shape).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(n_steps):
        x_MBTF = x_BTF[torch.randint(len(x_BTF), (shape.n_members, 32))]
        optimizer.zero_grad()
        net.loss(x_MBTF, torch.ones_like(x_MBTF), 1.0).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
    return net.eval()


def noisy_sines(n: int, window: int, seed: int) -> Tensor:
    """Windows of three sensors of different periods, variance 1, from anywhere."""
    generator = torch.Generator().manual_seed(seed)
    begin_B = torch.randint(100_000, (n,), generator=generator)
    time_BT = begin_B[:, None] + torch.arange(window)
    period_F = torch.tensor([7.0, 11.0, 17.0])
    sine_BTF = torch.sin(2 * math.pi * time_BT[:, :, None] / period_F) * math.sqrt(2)
    noise_BTF = torch.randn(sine_BTF.shape, generator=generator)
    return math.sqrt(0.95) * sine_BTF + math.sqrt(0.05) * noise_BTF


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_member_learns_noisy_sine_waves(family: str) -> None:
    shape = default_shape(window=12, n_sensors=3, n_members=2)

    net = trained(family, shape, noisy_sines(2_000, 12, seed=0), n_steps=250)

    held_out_BTF = noisy_sines(500, 12, seed=1)
    with torch.no_grad():
        error_MBTF = held_out_BTF - net.reconstruct(held_out_BTF[None])
        newest_MBF = held_out_BTF[:, -1] - net.newest(held_out_BTF)
    # The mean as a reconstruction has an error of 1.
    assert (error_MBTF.square().mean(dim=(1, 2, 3)) < 0.5).all()
    assert (newest_MBF.square().mean(dim=(1, 2)) < 0.5).all()


def correlated_sensors(n: int, seed: int) -> Tensor:
    """Four sensors that all follow one walk, variance about 1."""
    generator = torch.Generator().manual_seed(seed)
    walk_BT1 = torch.randn(n, 4, 1, generator=generator).cumsum(dim=1) / 1.6
    return walk_BT1 + 0.1 * torch.randn(n, 4, 4, generator=generator)


@pytest.mark.parametrize(("denoising", "plain"), [("dae", "ae"), ("dvae", "vae")])
def test_a_denoising_network_fills_a_sensor_in_from_the_others(
    denoising: str, plain: str
) -> None:
    shape = NetworkShape(window=4, n_sensors=4, hidden=32, latent=12)
    held_out_BTF = correlated_sensors(500, seed=1)
    without_BTF = held_out_BTF.clone()
    without_BTF[:, :, 2] = 0.0

    def error(family: str) -> float:
        net = trained(family, shape, correlated_sensors(2_000, seed=0), n_steps=300)
        with torch.no_grad():
            [filled_in_BTF] = net.reconstruct(without_BTF[None])
        return float((held_out_BTF - filled_in_BTF)[:, :, 2].square().mean())

    assert error(denoising) < 0.9 * error(plain)


@pytest.mark.parametrize("family", ["ae", "dae", "conv", "gru"])
def test_what_is_shown_is_corrupted_and_what_is_to_be_told_is_not(family: str) -> None:
    net = build_network(family, default_shape(window=12, n_sensors=3))
    net.corruption = Corruption(sensors=1.0)
    x_BTF = noisy_sines(100, 12, seed=0)

    with torch.no_grad():
        loss = net.loss(x_BTF[None], torch.ones_like(x_BTF)[None], 1.0)
        told_BTF = net.reconstruct(torch.zeros_like(x_BTF)[None])[0]

    torch.testing.assert_close(loss[0], (x_BTF - told_BTF).square().mean())
