"""What each fold's members say of the windows that were held out from them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.detector.residual import mean_newest
from pipeline.detector.scoring import Scoring
from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.split import Folds

LAUNCH_VALUES = 2**22
"""Values in one forward pass."""


class Rows(NamedTuple):
    """The newest rows of all held-out windows, series after series. Scaled units."""

    observed_BF: FloatArray
    is_observed_BF: BoolArray
    expected_BF: FloatArray
    """By the members that did not train on the window."""
    n_before_B: IntArray
    """Rows of its series before each."""


def held_out_rows(networks: Sequence[Network], folds: Folds, device: torch.device) -> Rows:
    """The newest row of each held-out window, as it was and as it was expected."""
    observed, is_observed, expected = [], [], []
    for members, x_BTF, observed_BTF in _launches(networks, folds, device):
        observed.append(x_BTF[:, -1].cpu().numpy())
        is_observed.append(observed_BTF[:, -1].cpu().numpy() > 0)
        expected.append(mean_newest(members, x_BTF, observed_BTF).cpu().numpy())
    return Rows(
        np.concatenate(observed),
        np.concatenate(is_observed),
        np.concatenate(expected),
        n_before(folds.series_B),
    )


def held_out_measures(
    networks: Sequence[Network],
    scoring: Scoring,
    folds: Folds,
    device: torch.device,
) -> FloatArray:
    """The held-out windows' measures by `scoring`, series after series: shape (B, C)."""
    measures = [
        scoring.measure(members, x_BTF, observed_BTF).measure_BC.cpu().numpy()
        for members, x_BTF, observed_BTF in _launches(networks, folds, device)
    ]
    return np.concatenate(measures)


def n_before(series_B: IntArray) -> IntArray:
    """How many windows of its series stand before each; those of one stand together."""
    index_B = np.arange(len(series_B))
    is_first_B = np.diff(series_B, prepend=-1) != 0
    return index_B - np.maximum.accumulate(np.where(is_first_B, index_B, 0))


def _launches(
    networks: Sequence[Network], folds: Folds, device: torch.device
) -> Iterator[tuple[list[Network], torch.Tensor, torch.Tensor]]:
    """The held-out windows in batches, filled in, with the networks' members of each."""
    shape = networks[0].shape
    n_windows = max(1, LAUNCH_VALUES // (shape.window * shape.n_sensors))
    with torch.inference_mode():
        for number, fold in enumerate(folds.folds):
            members = [network.member(number).to(device) for network in networks]
            windows = fold.held_out.windows
            for begin in range(0, len(windows), n_windows):
                x_BTF = windows.gather(slice(begin, begin + n_windows))
                yield members, *filled(torch.from_numpy(x_BTF).to(device))
