"""Series without end, quilted of windows that fit one to the next."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import interpolated
from pipeline.detector.network import network_input
from pipeline.records import FloatArray
from trainer.synthetic.draws import Draws

POOL = 512
"""Windows drawn ahead, among which the next one of a series is chosen."""
POOL_ROUNDS = 16
"""How often a pool of windows is chosen from."""
N_CHOICES = 4
"""Windows of the pool that fit best; one of them is taken by lot."""


class Quilt:
    """Continues the series of U units together, in memory that does not grow.

    The next window overlaps the last quarter of the one before. It is chosen among many
    draws, as one whose beginning is like that end; each group of sensors then takes its
    readings from the training window that fits best both the draw and the readings before,
    and changes over to it within the overlap, where the two differ least. No value is
    blended, so that sensors that are rounded stay so.

    Source: image quilting and texture transfer, Efros & Freeman (2001),
    doi:10.1145/383259.383296.
    """

    def __init__(self, draws: Draws, n_units: int, seed: int) -> None:
        """Begin.

        Args:
            draws: what windows are drawn by.
            n_units: U.
            seed: of which window is taken.
        """
        self._draws, self._n_units = draws, n_units
        self._random = torch.Generator().manual_seed(seed)
        self._n_left = 0

    def pieces(self) -> Iterator[FloatArray]:
        """The units' next readings for ever, shape (U, N, F), scaled; NaN where missing."""
        last_UTF = self._first()
        length = last_UTF.shape[1]
        overlap = max(length // 4, 1)
        while True:
            yield last_UTF[:, : length - overlap].cpu().numpy()
            last_UTF = self._continued(last_UTF[:, length - overlap :])

    def _first(self) -> Tensor:
        parts = [self._draws.windows(n) for n in self._shares()]
        return torch.from_numpy(np.concatenate(parts))

    def _shares(self) -> list[int]:
        """How the units are shared out among launches of bounded size."""
        at_once = self._draws.n_at_once
        return [
            min(at_once, self._n_units - begin)
            for begin in range(0, self._n_units, at_once)
        ]

    @torch.inference_mode()
    def _continued(self, end_UOF: Tensor) -> Tensor:
        """Windows that begin as these readings go on."""
        if self._n_left == 0:
            self._n_left = POOL_ROUNDS
            n_windows = min(POOL, self._draws.n_at_once)
            self._target_PTF = self._draws.targets(n_windows)
            self._window_PTF = self._target_PTF
            if self._draws.is_rendered:
                self._window_PTF = self._draws.rendered(self._target_PTF)
        self._n_left -= 1
        at_once = self._draws.n_at_once
        parts = torch.split(end_UOF.to(self._target_PTF.device), at_once)
        return torch.cat([self._next(part).cpu() for part in parts])

    def _next(self, end_UOF: Tensor) -> Tensor:
        overlap = end_UOF.shape[1]
        seen_UOF = network_input(interpolated(end_UOF))
        begin_POF = network_input(interpolated(self._window_PTF[:, :overlap]))
        misfit_UP = torch.cdist(seen_UOF.flatten(1), begin_POF.flatten(1))
        n_choices = min(N_CHOICES, misfit_UP.shape[1])
        best_UC = misfit_UP.topk(n_choices, largest=False).indices
        lot_U = torch.randint(n_choices, (len(end_UOF),), generator=self._random)
        row_U = torch.arange(len(end_UOF))
        chosen_U = best_UC[row_U, lot_U.to(best_UC.device)]
        if not self._draws.is_rendered:
            return _joined(end_UOF, self._window_PTF[chosen_U])
        target_UTF = self._target_PTF[chosen_U]
        joined_UTF = torch.empty_like(target_UTF)
        for group in self._draws.groups:
            found_UTG = self._draws.fitting(target_UTF, seen_UOF, group)
            joined_UTF[:, :, group] = _joined(end_UOF[:, :, group], found_UTG)
        return joined_UTF


def _joined(end_UOF: Tensor, window_UTF: Tensor) -> Tensor:
    """Windows that go over from the readings before at the best place in the overlap."""
    overlap = end_UOF.shape[1]
    begin_UOF = window_UTF[:, :overlap]
    # A missing value is like any.
    misfit_UO = torch.nan_to_num(begin_UOF - end_UOF).square().sum(dim=2)
    cut_U1 = misfit_UO.argmin(dim=1, keepdim=True)
    is_before_UO = torch.arange(overlap, device=end_UOF.device) < cut_U1
    joined_UOF = torch.where(is_before_UO[:, :, None], end_UOF, begin_UOF)
    return torch.cat([joined_UOF, window_UTF[:, overlap:]], dim=1)
