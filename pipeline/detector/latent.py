"""What a detector's networks make of whole windows: latent vectors and reconstructions."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from pipeline.detector.detector import Detector
from pipeline.detector.filling import with_silent_sensors
from pipeline.detector.rows import mean_of
from pipeline.detector.scaling import POOLED
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.records import FloatArray, IntArray
from pipeline.window import Windows


class Latents(NamedTuple):
    """Latent vectors of windows, dimensionless."""

    mean_BL: FloatArray
    std_BL: FloatArray | None
    """Of a VAE's latent Gaussian, > 0; None for other families."""


class Encoder:
    """The encoder of one network, the first member of one of the detector's families.

    Of several the latent vectors side by side are no better: each has axes of its own. On
    ten faults of the Tennessee Eastman process the nearest neighbours of one member's 32
    numbers named the fault in .57 of windows, those of four members' 128 in .57 too.
    """

    def __init__(self, detector: Detector, family: int = 0) -> None:
        """Take a network.

        Args:
            detector: whose.
            family: its position among the detector's networks.
        """
        self._detector = detector
        self._network = detector.networks[family].member(0)

    @property
    def n_latent(self) -> int:
        """L, the size of a latent vector."""
        return self._network.shape.latent

    @property
    def has_std(self) -> bool:
        """Whether it is a VAE's."""
        return isinstance(self._network, VariationalAutoencoder)

    def latents(self, windows: Windows, line_B: IntArray | None = None) -> Latents:
        """Latent vectors of windows of raw readings.

        Args:
            windows: see `Detector.measure`.
            line_B: see `Detector.measure`.
        """
        mean_BL, *std_BL = self._detector.over_windows(windows, line_B, self._encoded)
        return Latents(mean_BL, std_BL[0] if std_BL else None)

    def _encoded(self, x_BTF: Tensor, observed_BTF: Tensor | None) -> list[Tensor]:
        if observed_BTF is not None:
            x_BTF = with_silent_sensors(self._detector.networks, x_BTF, observed_BTF)
        if not isinstance(self._network, VariationalAutoencoder):
            return [self._network.encode(x_BTF[None])[0]]
        mean_1BL, log_variance_1BL = self._network.posterior(x_BTF[None])
        return [mean_1BL[0], (0.5 * log_variance_1BL[0]).exp()]


def reconstructed(
    detector: Detector, windows: Windows, line_B: IntArray | None = None
) -> FloatArray:
    """Windows as the networks reconstruct them, the mean over families and members.

    Args:
        detector: whose networks.
        windows: see `Detector.measure`; B x T x F values are returned at once.
        line_B: see `Detector.measure`.

    Returns:
        Shape (B, T, F), in the sensors' own units, without a gap.
    """

    def run(x_BTF: Tensor, observed_BTF: Tensor | None) -> list[Tensor]:
        if observed_BTF is not None:
            x_BTF = with_silent_sensors(detector.networks, x_BTF, observed_BTF)
        means = [mean_of(n.reconstruct(x_BTF[None]).unbind()) for n in detector.networks]
        return [mean_of(means)]

    [x_BTF] = detector.over_windows(windows, line_B, run)
    n_windows, length, n_sensors = x_BTF.shape
    line_N = POOLED if line_B is None else np.repeat(line_B, length)
    values_NF = detector.scaling.unscaled(x_BTF.reshape(-1, n_sensors), line_N)
    return values_NF.reshape(n_windows, length, n_sensors)
