"""What is done to training windows so that networks learn to mend them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Corruption:
    """How the windows that training shows a network differ from those it is to tell again.

    Source: Vincent et al. (2008), doi:10.1145/1390156.1390294.
    """

    noise: float = 0.0
    """Gaussian noise, in standard deviations of each sensor: the level of a window is drawn
    between 0 and this, so that one network mends little noise and much."""
    sensors: float = 0.0
    """Share of a window's sensors that stand at their mean over the whole window, 0 to 1.
    Such a sensor must be reconstructed from the others, not copied: a fault in it is not
    copied either."""
    stretches: float = 0.0
    """Share of a window's sensors that are missing for a while, at most half of the window,
    0 to 1. Networks see a straight line there, as of any gap."""

    def of(self, x_MBTF: Tensor) -> Tensor:
        """Scaled windows, corrupted anew: other draws of torch's at each call."""
        if self.noise:
            n_members, n_windows = x_MBTF.shape[:2]
            level_MB11 = torch.rand(n_members, n_windows, 1, 1, device=x_MBTF.device)
            x_MBTF = x_MBTF + self.noise * level_MB11 * torch.randn_like(x_MBTF)
        if self.stretches:
            x_MBTF = _without_stretches(x_MBTF, self.stretches)
        if self.sensors:
            x_MBTF = _without_sensors(x_MBTF, self.sensors)
        return x_MBTF


def _without_sensors(x_MBTF: Tensor, share: float) -> Tensor:
    n_members, n_windows, _, n_sensors = x_MBTF.shape
    keep = torch.rand(n_members, n_windows, 1, n_sensors, device=x_MBTF.device)
    return x_MBTF * (keep > share)


def _without_stretches(x_MBTF: Tensor, share: float) -> Tensor:
    """A straight line from the value before each stretch to the one behind it.

    A stretch at an end of the window stands at its only neighbour, see `interpolated`.
    """
    n_members, n_windows, length, n_sensors = x_MBTF.shape
    drawn = torch.rand(3, n_members, n_windows, 1, n_sensors, device=x_MBTF.device)
    longest = max(length // 2, 1)
    n_MB1F = 1 + (drawn[0] * longest).long().clamp(max=longest - 1)
    begin_MB1F = (drawn[1] * (length - n_MB1F + 1)).long()
    # Rounding up must not lead beyond the end.
    begin_MB1F = torch.minimum(begin_MB1F, length - n_MB1F)
    before, after = begin_MB1F - 1, begin_MB1F + n_MB1F
    has_before, has_after = before >= 0, after < length
    first = torch.where(has_before, before, after).clamp(0, length - 1)
    last = torch.where(has_after, after, before).clamp(0, length - 1)
    row_T1 = torch.arange(length, device=x_MBTF.device)[:, None]
    way_MBTF = (row_T1 - first) / (last - first).clamp(min=1)
    first_MB1F, last_MB1F = x_MBTF.gather(2, first), x_MBTF.gather(2, last)
    line_MBTF = first_MB1F + way_MBTF * (last_MB1F - first_MB1F)
    is_lost = (row_T1 > before) & (row_T1 < after) & (drawn[2] < share)
    return torch.where(is_lost, line_MBTF, x_MBTF)
