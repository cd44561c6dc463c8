"""What every model family is: networks that reconstruct windows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from pipeline.detector.corruption import Corruption


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """The sizes a network is built from. They are stored with its weights."""

    window: int
    """T, time steps in a window."""
    n_sensors: int
    """F."""
    hidden: int
    """Width of the layer between the window and the latent vector."""
    latent: int
    """Size of the latent vector, the bottleneck."""
    n_members: int = 1
    """M, networks side by side: same sizes, weights of their own."""


def default_shape(window: int, n_sensors: int, n_members: int = 1) -> NetworkShape:
    """Sizes by rule: a quarter of the window's values, then a sixteenth, within bounds.

    The bounds keep a small window trainable and a wide one affordable.
    """
    n_values = window * n_sensors
    return NetworkShape(
        window=window,
        n_sensors=n_sensors,
        hidden=min(max(n_values // 4, 16), 128),
        latent=min(max(n_values // 16, 4), 32),
        n_members=n_members,
    )


class Network(nn.Module, ABC):
    """M members that reconstruct scaled windows, each with weights of its own.

    Every parameter and buffer has the members along its first axis, so that one launch
    runs all of them. One subclass per model family.

    `observed` is 1.0 where a value was measured and 0.0 where it was missing: what was not
    measured is not learned from.
    """

    corruption = Corruption()
    """What training does to the windows that it shows; a family has its own, and a network
    may be given another."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        """The training objective of each member, averaged over its windows and values.

        The network is shown them as `corruption` leaves them, and is to tell them as they
        were.

        Args:
            x_MBTF: each member's own windows, after scaling.
            observed_MBTF: 1.0 where measured.
            warmup: 0.0 to 1.0, how far the warm-up of training has come.

        Returns:
            Shape (M,).
        """

    def anomaly_loss(self, x_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
        """What training minimises over windows that are labelled as anomalous.

        The negative logarithm of the probability 1 - exp(-error) that a window of such an
        error is anomalous. It pushes small errors up and leaves large ones as they are: its
        gradient falls off as the error grows. Source: Yamanaka et al. (2019), Autoencoding
        Binary Classifiers, arXiv:1903.10709.

        Args:
            x_MBTF: each member's labelled windows, after scaling.
            observed_MBTF: 1.0 where measured.

        Returns:
            The mean over the windows, shape (M,), >= 0.
        """
        error_MB = self.window_errors(x_MBTF, observed_MBTF).clamp(min=MIN_ERROR)
        return -torch.log(-torch.expm1(-error_MB)).mean(dim=1)

    def window_errors(self, x_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
        """Each window's mean squared error over its observed values, shape (M, B), >= 0.

        A VAE's is its negative ELBO.
        """
        squared_MBTF = (network_input(x_MBTF) - self.reconstruct(x_MBTF)).square()
        return per_observed(squared_MBTF, observed_MBTF)

    @abstractmethod
    def encode(self, x_MBTF: Tensor) -> Tensor:
        """The members' latent vectors, shape (M, B, L); of a VAE their means.

        Args:
            x_MBTF: scaled windows; the first axis may be 1: the same for all members.
        """

    @abstractmethod
    def decode(self, latent_MBL: Tensor) -> Tensor:
        """The windows that these latent vectors stand for, scaled, shape (M, B, T, F)."""

    def reconstruct(self, x_MBTF: Tensor) -> Tensor:
        """The members' reconstructions, shape (M, B, T, F).

        Args:
            x_MBTF: scaled windows; the first axis may be 1: the same for all members.
        """
        return self.decode(self.encode(x_MBTF))

    def newest(self, x_BTF: Tensor) -> Tensor:
        """The members' reconstructions of each window's newest row, shape (M, B, F).

        A function of each window alone: no randomness.
        """
        return self.reconstruct(x_BTF[None])[:, :, -1]

    def member(self, index: int) -> Self:
        """One member as a network of its own, sharing its weights."""
        shape = self.shape
        alone = type(self)(
            NetworkShape(shape.window, shape.n_sensors, shape.hidden, shape.latent)
        )
        alone.load_state_dict(
            {name: t[index : index + 1] for name, t in self.state_dict().items()},
            assign=True,
        )
        return alone.eval()


MIN_ERROR = 1e-3
"""Of a labelled window: below it the gradient of its loss would grow without bound."""

# A value far outside what training saw must not steer the reconstruction of the others,
# so the network sees it clipped; the residual is still taken against the true value.
INPUT_CLIP = 10.0


def network_input(x: Tensor) -> Tensor:
    """`x` as a network sees it, within `INPUT_CLIP` standard deviations."""
    return x.clamp(-INPUT_CLIP, INPUT_CLIP)


def mean_squared(error_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
    """Each member's mean squared error over its observed values, shape (M,)."""
    squared_MBTF = error_MBTF.square() * observed_MBTF
    n_observed_M = observed_MBTF.sum(dim=(1, 2, 3)).clamp(min=1.0)
    return squared_MBTF.sum(dim=(1, 2, 3)) / n_observed_M


def per_observed(value_MBTF: Tensor, observed_MBTF: Tensor) -> Tensor:
    """The mean of each window's observed values, shape (M, B)."""
    n_observed_MB = observed_MBTF.sum(dim=(2, 3)).clamp(min=1.0)
    return (value_MBTF * observed_MBTF).sum(dim=(2, 3)) / n_observed_MB
