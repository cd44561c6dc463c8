"""The loss of labelled anomalies: it pushes their errors up, whatever the family."""

import pytest
import torch
from torch import Tensor

from pipeline.detector.families import VARIATIONAL, build_network
from pipeline.detector.network import MIN_ERROR, Network, NetworkShape
from pipeline.detector.variational import VariationalAutoencoder
from tests.pipeline.detector.test_families import B, F, M, T, each_family, network, windows


class Erring(Network):
    """Has the errors that it is told."""

    def __init__(self, *error_B: float) -> None:
        super().__init__(NetworkShape(T, F, 1, 1))
        self.error_MB = torch.tensor([error_B], requires_grad=True)

    def window_errors(self, x_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
        return self.error_MB

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        raise NotImplementedError

    def encode(self, x_MBTF: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, latent_MBL: Tensor) -> Tensor:
        raise NotImplementedError


def anomaly_loss(*error_B: float) -> tuple[float, list[float]]:
    """The loss of windows of such errors, and its gradient by each."""
    net = Erring(*error_B)
    loss = net.anomaly_loss(torch.zeros(0), torch.zeros(0)).sum()
    torch.autograd.backward(loss)
    assert net.error_MB.grad is not None
    return loss.item(), net.error_MB.grad[0].tolist()


def test_small_errors_are_pushed_up_and_large_ones_left_as_they_are() -> None:
    _, (small, medium, large) = anomaly_loss(0.1, 1.0, 20.0)

    assert small < medium < 0.0
    assert -1e-6 < large <= 0.0


@pytest.mark.parametrize("error", [0.0, MIN_ERROR, 1e3, 1e30])
def test_the_loss_is_finite_and_not_negative_whatever_the_error(error: float) -> None:
    loss, gradient = anomaly_loss(error)

    assert 0.0 <= loss < 10.0
    assert torch.tensor(gradient).isfinite().all()


@each_family
def test_its_gradient_makes_a_labelled_windows_error_grow(family: str) -> None:
    net, x_MBTF = network(family), windows()
    observed_MBTF = torch.ones_like(x_MBTF)
    before_MB = net.window_errors(x_MBTF, observed_MBTF).detach()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(net.anomaly_loss(x_MBTF, observed_MBTF).sum())
        optimizer.step()

    after_MB = net.window_errors(x_MBTF, observed_MBTF)
    assert before_MB.shape == (M, B)
    assert (after_MB.mean(dim=1) > before_MB.mean(dim=1)).all()


@each_family
def test_values_that_were_not_measured_have_no_error(family: str) -> None:
    net, x_MBTF = network(family), windows()
    observed_MBTF = torch.zeros_like(x_MBTF)
    observed_MBTF[:, :, 0] = 1.0

    if family in VARIATIONAL:
        # Its KL term is of the whole window.
        assert (net.window_errors(x_MBTF, observed_MBTF) >= 0).all()
        return
    first_MBF = (x_MBTF - net.reconstruct(x_MBTF)).square()[:, :, 0]
    torch.testing.assert_close(
        net.window_errors(x_MBTF, observed_MBTF), first_MBF.mean(dim=2)
    )


def test_a_vae_cannot_help_itself_by_a_smaller_variance() -> None:
    net = build_network("vae", NetworkShape(T, F, 16, 4, M))
    assert isinstance(net, VariationalAutoencoder)
    x_MBTF = windows()

    torch.autograd.backward(net.anomaly_loss(x_MBTF, torch.ones_like(x_MBTF)).sum())

    assert net.log_variance_MF.grad is None
