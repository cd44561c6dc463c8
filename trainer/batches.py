"""Mini-batches, cut from a history as they are drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import filled
from pipeline.errors import InputError
from pipeline.window import Windows
from trainer.distributed import Ranks


class Batch(NamedTuple):
    """Windows of each member."""

    x_MBTF: Tensor
    """Finite."""
    observed_MBTF: Tensor
    """1.0 where measured, 0.0 where filled in."""
    weight_M: Tensor
    """What losses are multiplied by, so that their average over the processes is that of
    the whole mini-batch: a loss is a mean over observed values, of which each process has
    seen a number of its own. 1.0 where there is one process."""


class Batches:
    """Mini-batches of windows that are drawn at random, each member's from its own.

    The readings lie on the device, each once; windows overlap in them.
    """

    def __init__(
        self,
        training: Sequence[Windows],
        n_windows: int,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        """Place the readings.

        Args:
            training: each member's windows, NaN where missing.
            n_windows: of a member in a mini-batch, in all processes together.
            seed: of what is drawn.
            device: where mini-batches are wanted.
            ranks: the processes that share each mini-batch.

        Raises:
            InputError: some process would have no window.
        """
        if n_windows < ranks.n_ranks:
            raise InputError(
                f"batch_windows {n_windows}: fewer than the {ranks.n_ranks} processes that "
                "share each batch"
            )
        self._training = training
        self._n_windows = n_windows
        self._random = np.random.default_rng(seed)
        self._device = device
        self._ranks = ranks
        flat_of = {id(w.flat_MF): torch.from_numpy(w.flat_MF).to(device) for w in training}
        self._is_whole = not any(bool(flat.isnan().any()) for flat in flat_of.values())
        # A window's readings stand in a row, so that its values are copied in one go.
        self._views = [
            _every_window(flat_of[id(windows.flat_MF)], windows.length)
            for windows in training
        ]

    def draw(self) -> Batch:
        """This process's share of the next mini-batch."""
        drawn = []
        for windows, view_KV in zip(self._training, self._views, strict=True):
            index_B = self._random.integers(0, len(windows), self._n_windows)
            start_B = windows.start_B[self._ranks.share(index_B)]
            drawn.append(
                view_KV.index_select(0, torch.from_numpy(start_B).to(self._device))
            )
        length, n_sensors = self._training[0].length, self._training[0].flat_MF.shape[1]
        x_MBTF = torch.stack(drawn).view(len(drawn), -1, length, n_sensors)
        if self._is_whole:
            share = x_MBTF.shape[1] / self._n_windows
            weight_M = torch.full((len(drawn),), self._ranks.n_ranks * share)
            return Batch(x_MBTF, torch.ones_like(x_MBTF), weight_M.to(self._device))
        filled_BTF, observed_BTF = filled(x_MBTF.flatten(0, 1))
        observed_MBTF = observed_BTF.view(x_MBTF.shape)
        n_observed_M = observed_MBTF.sum(dim=(1, 2, 3))
        n_all_M = self._ranks.total(n_observed_M).clamp(min=1.0)
        weight_M = self._ranks.n_ranks * n_observed_M / n_all_M
        return Batch(filled_BTF.view(x_MBTF.shape), observed_MBTF, weight_M)


def _every_window(flat_MF: Tensor, length: int) -> Tensor:
    """A view of `flat_MF` with the window that begins at each reading, shape (K, T x F)."""
    flat_MF = flat_MF.contiguous()
    n_readings, n_sensors = flat_MF.shape
    sizes = (n_readings - length + 1, length * n_sensors)
    return flat_MF.as_strided(sizes, (n_sensors, 1))
