"""Windows drawn from a VAE, with the noise that observations have."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pipeline.detector.artifact import LoadedDetector, load_whole
from pipeline.detector.filling import interpolated
from pipeline.detector.network import network_input
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.errors import InputError
from pipeline.records import FloatArray, IntArray

Latent = Literal["posterior", "prior"]
Noise = Literal["observed", "gaussian"]
N_NEIGHBOURS = 8
"""Training windows, alike but from other times, that a draw is mixed with."""
KEPT = 0.7
"""How much of a draw's own training window is in it; of the variance, its square."""
GROUPED_ABOVE = 0.5
"""Sensors whose correlation is above take their readings from one window together."""
FIT_WEIGHT = 1.0
"""How much it counts that a series goes on as before, beside how near it is to a draw."""
MAX_VALUES = 2**19
"""Of windows drawn at a time."""
MAX_WINDOWS = 1024
"""Drawn at a time."""


class Draws:
    """Draws windows, as many as are wanted. Owns the random numbers.

    The latent vector comes from the prior, a standard Gaussian, or from the aggregate
    posterior, that of the training windows: a training window's, mixed with those of its
    neighbours. What is decoded is a mean. Readings scatter around it in ways that one
    Gaussian a sensor does not describe: they are rounded, stand still, burst together. So
    each group of correlated sensors takes its readings from the training window whose own
    mean, decoded in the same way, is nearest to what was drawn. Windows are new as to which
    groups' readings stand together; where all sensors are of one group, they are copies.

    Sources: the aggregate posterior in the place of the prior, Ghosh et al. (2020),
    arXiv:1903.12436; a mixture of local Gaussians, Vincent & Bengio (2002), "Manifold
    Parzen Windows"; rendering by patches, Efros & Freeman (2001),
    doi:10.1145/383259.383296.
    """

    def __init__(
        self,
        loaded: LoadedDetector,
        folder: Path,
        latent: Latent,
        noise: Noise,
        device: torch.device,
        seed: int,
    ) -> None:
        """Look at the training windows that the detector keeps.

        Args:
            loaded: the detector.
            folder: where it lies.
            latent: what latent vectors are drawn from.
            noise: `observed`, or `gaussian`: by the variance that the VAE has learned.
            device: where to draw.
            seed: the same seed draws the same, on one machine.

        Raises:
            InputError: no VAE is in the detector, or it keeps no whole windows.
        """
        self._network = _vae(loaded, folder).to(device)
        self._latent, self._noise, self._device = latent, noise, device
        self._random = torch.Generator().manual_seed(seed)
        shape = self._network.shape
        self._sizes = (shape.window, shape.n_sensors)
        self.kept_BTF = torch.empty(0, *self._sizes)
        """Scaled training windows that observed noise is taken from, NaN where missing."""
        self.groups: list[IntArray] = [np.arange(shape.n_sensors)]
        """Sensors that take their readings from one window."""
        if (latent, noise) == ("prior", "gaussian"):
            return
        kept_BTF = load_whole(folder, loaded)
        if kept_BTF is None:
            raise InputError(
                f"{folder}: it keeps no whole windows of its history (an earlier version "
                "fitted it, or they are too large); fit it again, or draw by "
                "--from prior --noise gaussian"
            )
        spacing = loaded.manifest.training.n_windows.get("training", 0) / len(kept_BTF)
        self._learn(torch.from_numpy(kept_BTF).to(device), max(spacing, 1.0))

    @torch.inference_mode()
    def _learn(self, kept_BTF: Tensor, spacing: float) -> None:
        self.kept_BTF = kept_BTF
        self.input_BTF = network_input(interpolated(kept_BTF))
        self._mean_BL = self._network.encode(self.input_BTF[None])[0]
        self._decoded_BTF: Tensor = self._network.decode(self._mean_BL[None])[0]
        n_apart = int(self._sizes[0] / spacing)
        self._neighbour_BK = _neighbours(self.input_BTF.flatten(1), n_apart)
        if self._noise == "observed":
            self.groups = correlated(self.input_BTF.flatten(0, 1).cpu().numpy())

    @property
    def n_at_once(self) -> int:
        """Windows that are well drawn together."""
        length, n_sensors = self._sizes
        return min(max(MAX_VALUES // (length * n_sensors), 1), MAX_WINDOWS)

    @property
    def is_rendered(self) -> bool:
        """Whether readings are taken from training windows."""
        return self._noise == "observed"

    @torch.inference_mode()
    def targets(self, n_windows: int) -> Tensor:
        """Windows as they are decoded, and noise if that is Gaussian: (B, T, F), scaled."""
        target_BTF: Tensor = self._network.decode(self._latents(n_windows)[None])[0]
        if self.is_rendered:
            return target_BTF
        std_F = self._network.observation_std()[0]
        return target_BTF + std_F * self._normal(n_windows, *self._sizes)

    @torch.inference_mode()
    def windows(self, n_windows: int) -> FloatArray:
        """Windows drawn independently, shape (B, T, F), scaled; NaN where missing."""
        x_BTF = self.targets(n_windows)
        if self.is_rendered:
            x_BTF = self.rendered(x_BTF)
        return x_BTF.cpu().numpy()

    @torch.inference_mode()
    def rendered(self, target_BTF: Tensor) -> Tensor:
        """Readings that have been, of windows whose means are nearest to these."""
        x_BTF = torch.empty_like(target_BTF)
        for group in self.groups:
            at_B = self._misfit(target_BTF, group).argmin(dim=1)
            x_BTF[:, :, group] = self.kept_BTF[:, :, group][at_B]
        return x_BTF

    @torch.inference_mode()
    def fitting(self, target_BTF: Tensor, before_BOF: Tensor, group: IntArray) -> Tensor:
        """The readings of one group of sensors that continue a series best.

        Args:
            target_BTF: what was drawn.
            before_BOF: the series' last readings, of the time of the target's first O;
                finite.
            group: one of `groups`.

        Returns:
            A training window's for each, shape (B, T, G); NaN where missing.
        """
        overlap = before_BOF.shape[1]
        kept_BOG = self.input_BTF[:, :overlap, group]
        to_series_BW = torch.cdist(before_BOF[:, :, group].flatten(1), kept_BOG.flatten(1))
        share = target_BTF.shape[1] / overlap
        misfit_BW = self._misfit(target_BTF, group).square()
        misfit_BW += FIT_WEIGHT * share * to_series_BW.square()
        return self.kept_BTF[:, :, group][misfit_BW.argmin(dim=1)]

    def _misfit(self, target_BTF: Tensor, group: IntArray) -> Tensor:
        """How far what was drawn is from each training window's mean."""
        return torch.cdist(
            network_input(target_BTF[:, :, group]).flatten(1),
            network_input(self._decoded_BTF[:, :, group]).flatten(1),
        )

    def _latents(self, n_windows: int) -> Tensor:
        if self._latent == "prior":
            return self._normal(n_windows, self._network.shape.latent)
        n_kept, n_neighbours = self._neighbour_BK.shape
        at_B = torch.randint(n_kept, (n_windows,), generator=self._random).to(self._device)
        weight_BK = self._normal(n_windows, n_neighbours) / n_neighbours**0.5
        return self._mixed(self._mean_BL, at_B, weight_BK)

    def _mixed(self, values: Tensor, at_B: Tensor, weight_BK: Tensor) -> Tensor:
        """A draw from the Gaussian that a window and its neighbours make up."""
        near = values[self._neighbour_BK[at_B]]
        mean = near.mean(dim=1)
        spread = torch.einsum("bk,bk...->b...", weight_BK, near - mean[:, None])
        mixed: Tensor = mean + KEPT * (values[at_B] - mean) + (1 - KEPT**2) ** 0.5 * spread
        return mixed

    def _normal(self, *sizes: int) -> Tensor:
        # Drawn on the CPU, so that a seed draws the same on any device.
        return torch.randn(*sizes, generator=self._random).to(self._device)


def correlated(values_NF: FloatArray) -> list[IntArray]:
    """Sensors in groups: those that are correlated, if only by way of others.

    Args:
        values_NF: finite.

    Returns:
        Indices of sensors, each in one group.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation_FF = np.nan_to_num(np.corrcoef(values_NF.T.astype(np.float64)))
    is_joined_FF = np.abs(np.atleast_2d(correlation_FF)) > GROUPED_ABOVE
    n_groups, group_F = connected_components(is_joined_FF, directed=False)
    return [np.flatnonzero(group_F == group) for group in range(n_groups)]


def _vae(loaded: LoadedDetector, folder: Path) -> VariationalAutoencoder:
    for network in loaded.detector.networks:
        if isinstance(network, VariationalAutoencoder):
            return network.member(0)
    raise InputError(
        f"{folder}: expected a detector with a VAE in it (vae, dvae or the default "
        f"ensemble), this one is {loaded.manifest.model}"
    )


def _neighbours(x_BV: Tensor, n_apart: int) -> Tensor:
    """The nearest windows of each that share no reading with it, shape (B, K).

    Args:
        x_BV: training windows, in the order of time, as vectors.
        n_apart: how many before and after share readings with it.
    """
    n_windows = len(x_BV)
    distance_BB = torch.cdist(x_BV, x_BV)
    position_B = torch.arange(n_windows, device=x_BV.device)
    n_apart_BB = (position_B[:, None] - position_B).abs()
    # Enough must be left.
    n_left_out = min(n_apart, (n_windows - N_NEIGHBOURS - 1) // 2)
    distance_BB[n_apart_BB <= max(n_left_out, 0)] = torch.inf
    n_neighbours = min(N_NEIGHBOURS, n_windows)
    return distance_BB.topk(n_neighbours, largest=False).indices
