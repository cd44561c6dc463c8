"""What networks see in the place of missing values: functions of each window alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.detector.network import Network
from pipeline.detector.rows import mean_of, padded


def filled(x_BTF: Tensor) -> tuple[Tensor, Tensor]:
    """Fill in what is missing in scaled windows, and say which values were observed.

    Args:
        x_BTF: NaN where missing.

    Returns:
        x_BTF, see `interpolated`, and observed_BTF, 1.0 where measured and 0.0 where filled
        in.
    """
    return interpolated(x_BTF), (~torch.isnan(x_BTF)).to(x_BTF.dtype)


def interpolated(x_BTF: Tensor) -> Tensor:
    """Fill the gaps of each sensor by the straight line between the values around them.

    Before its first value in the window a sensor stands at that one, after its last at
    that one, and at its mean, 0, where it has none. Held at the last value instead, a
    stretch that is missing looks like a sensor that stuck and then jumped, which is what
    networks are to tell from normal: of three real servers' normal readings in the 16 after
    a silence of as many, 13 to 36 % were above the threshold; by the line, at most 4 %.

    Args:
        x_BTF: scaled windows, NaN where missing.

    Returns:
        Finite, the values that are there unchanged to the bit.
    """
    has_gap_BF = torch.isnan(x_BTF).any(dim=1)
    if not has_gap_BF.any():
        return x_BTF
    length = x_BTF.shape[1]
    # The series with gaps one after the other: P positions, of which G are gaps. Before the
    # i-th gap, at position p, there are p - i values: no search is needed to find them.
    flat_P = x_BTF.transpose(1, 2)[has_gap_BF].flatten()
    missing_P = torch.isnan(flat_P)
    gap_G = missing_P.nonzero()[:, 0]
    value_V = (~missing_P).nonzero()[:, 0]
    value_V = torch.cat(
        [value_V.new_tensor([-1]), value_V, value_V.new_tensor([len(flat_P)])]
    )
    n_before_G = gap_G - torch.arange(len(gap_G), device=x_BTF.device)
    before_G, after_G = value_V[n_before_G], value_V[n_before_G + 1]
    begin_G = gap_G - gap_G % length
    has_before_G, has_after_G = before_G >= begin_G, after_G < begin_G + length
    # Beyond the first and the last value both ends are the one that there is.
    first_G = torch.where(has_before_G, before_G, after_G).clamp(max=len(flat_P) - 1)
    last_G = torch.where(has_after_G, after_G, before_G).clamp(min=0)
    way_G = (gap_G - first_G) / (last_G - first_G).clamp(min=1)
    line_G = flat_P[first_G] + way_G * (flat_P[last_G] - flat_P[first_G])
    flat_P[gap_G] = torch.where(has_before_G | has_after_G, line_G, 0.0)
    filled_BTF = x_BTF.clone()
    filled_BTF.transpose(1, 2)[has_gap_BF] = flat_P.view(-1, length)
    return filled_BTF


def with_silent_sensors(
    networks: Sequence[Network], x_BTF: Tensor, observed_BTF: Tensor
) -> Tensor:
    """Put reconstructions in the place of sensors that have no value in their window.

    At its mean, a sensor that is dead contradicts those it usually moves with, and what
    networks then expect of them is wrong: with a quarter of the sensors dead, 28 % of a
    server's normal readings were above the threshold, and 3 % with none dead or with the
    dead ones reconstructed from the others. The windows concerned take some three times
    as long; all others are left as they are.

    Args:
        networks: of all families; the mean over families and members is taken.
        x_BTF: scaled windows, finite.
        observed_BTF: 1.0 where measured.
    """
    silent_BF = (observed_BTF == 0.0).all(dim=1)
    rows_P = silent_BF.any(dim=1).nonzero()[:, 0]
    if not len(rows_P):
        return x_BTF
    partial_1PTF = x_BTF[padded(rows_P)][None]
    means = [mean_of(network.reconstruct(partial_1PTF).unbind()) for network in networks]
    mean_PTF = mean_of(means)[: len(rows_P)]
    filled_BTF = x_BTF.clone()
    filled_BTF[rows_P] = torch.where(silent_BF[rows_P, None], mean_PTF, x_BTF[rows_P])
    return filled_BTF
