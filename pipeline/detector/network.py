"""What every model family is: a network that reconstructs windows, and its errors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn


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


def default_shape(window: int, n_sensors: int) -> NetworkShape:
    """Sizes by rule: a quarter of the window's values, then a sixteenth, within bounds.

    The bounds keep a small window trainable and a wide one affordable.
    """
    n_values = window * n_sensors
    return NetworkShape(
        window=window,
        n_sensors=n_sensors,
        hidden=min(max(n_values // 4, 16), 512),
        latent=min(max(n_values // 16, 4), 64),
    )


class Errors(NamedTuple):
    """How badly windows are reconstructed. Larger is more anomalous; all >= 0."""

    sensor_BF: Tensor
    """The part of each window's error that lies in each sensor."""
    rest_B: Tensor
    """The part that belongs to no one sensor."""
    expected_BF: Tensor
    """What the network expected of the newest time step, in scaled units."""


class Network(nn.Module, ABC):
    """Reconstructs scaled windows. One subclass per model family.

    `observed_BTF` is 1.0 where a value was measured and 0.0 where it was missing: what was
    not measured is neither learned from nor held against the window.
    """

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape

    @abstractmethod
    def loss(self, x_BTF: Tensor, observed_BTF: Tensor, warmup: float) -> Tensor:
        """The training objective, a scalar, averaged over windows and values.

        Args:
            x_BTF: windows after scaling.
            observed_BTF: 1.0 where measured.
            warmup: 0.0 to 1.0, how far the warm-up of training has come.
        """

    @abstractmethod
    def errors(self, x_BTF: Tensor, observed_BTF: Tensor) -> Errors:
        """Each window's error. A function of that window alone: no randomness."""


def encoder_layers(shape: NetworkShape, n_out: int) -> nn.Sequential:
    """Window to hidden to `n_out` values, dense."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(shape.window * shape.n_sensors, shape.hidden),
        nn.GELU(),
        nn.Linear(shape.hidden, n_out),
    )


def decoder_layers(shape: NetworkShape) -> nn.Sequential:
    """Latent vector to hidden to window, dense."""
    return nn.Sequential(
        nn.Linear(shape.latent, shape.hidden),
        nn.GELU(),
        nn.Linear(shape.hidden, shape.window * shape.n_sensors),
        nn.Unflatten(1, (shape.window, shape.n_sensors)),
    )


# A value far outside what training saw must not steer the reconstruction of the others,
# so the network sees it clipped; the error is still taken against the true value.
INPUT_CLIP = 10.0


def network_input(x_BTF: Tensor) -> Tensor:
    """`x_BTF` as the encoder sees it, within `INPUT_CLIP` standard deviations."""
    return x_BTF.clamp(-INPUT_CLIP, INPUT_CLIP)


MIN_OBSERVED_SHARE = 0.25
"""Of a window's values. With fewer observed it is scaled up no further: one outlying value
among few must not count for many."""


def sum_over_time(per_value_BTF: Tensor, observed_BTF: Tensor) -> Tensor:
    """Sum over time of each sensor's values, missing ones made up for: shape (B, F).

    A sum over n of N values is scaled up by sqrt(N / n), at most twofold, so that among
    normal windows it spreads as a full one does. By N / n its mean would be a full one's
    but its spread sqrt(N / n) times that, which the threshold, far out in the tail of full
    windows, takes for anomalies. One with none observed has error 0.

    Measured on noisy waves of 3 sensors, 2 % of full normal windows over the threshold: of
    windows that lack half their values 14 % by N / n and 1 % by its root, of those that
    lack five sixths 60 % and 2 %. Given up: with half missing, 45 % instead of 78 % of the
    windows with a fault of two standard deviations are over it.
    """
    n_values = observed_BTF.shape[1] * observed_BTF.shape[2]
    n_observed_B = observed_BTF.sum(dim=(1, 2)).clamp(min=MIN_OBSERVED_SHARE * n_values)
    sums_BF = (per_value_BTF * observed_BTF).sum(dim=1)
    return sums_BF * (n_values / n_observed_B).sqrt()[:, None]
