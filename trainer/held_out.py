"""What each fold's members say of the windows that were held out from them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pipeline.detector.detector import MAX_VALUES_PER_LAUNCH
from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.detector.residual import mean_newest
from pipeline.detector.scoring import Scoring
from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.split import Folds


class Rows(NamedTuple):
    """The newest rows of all held-out windows, series after series. Scaled units."""

    observed_BF: FloatArray
    """0 where nothing was observed."""
    is_observed_BF: BoolArray
    expected_BF: FloatArray
    """By the members that did not train on the window."""
    n_before_B: IntArray
    """Rows of its series before each."""

    def residuals(self, trust_F: FloatArray) -> FloatArray:
        """What is left once reconstructions are taken off; 0 where nothing was observed.

        See `ResidualScoring.measure`, which it equals to the bit.
        """
        residual_BF = self.observed_BF - trust_F * self.expected_BF
        residual_BF *= self.is_observed_BF
        return residual_BF


def held_out_rows(networks: Sequence[Network], folds: Folds, device: torch.device) -> Rows:
    """The newest row of each held-out window, as it was and as it was expected."""
    windows = [fold.held_out.windows for fold in folds.folds]
    newest_BF = np.concatenate([w.flat_MF[w.start_B + w.length - 1] for w in windows])
    is_observed_BF = ~np.isnan(newest_BF)
    expected = [
        mean_newest(members, x_BTF, observed_BTF).cpu().numpy()
        for members, x_BTF, observed_BTF in _launches(networks, folds, device)
    ]
    return Rows(
        np.where(is_observed_BF, newest_BF, np.float32(0.0)),
        is_observed_BF,
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
) -> Iterator[tuple[list[Network], torch.Tensor, torch.Tensor | None]]:
    """The held-out windows in batches, with the networks' members of each.

    They are filled in, with what was observed; None where nothing is missing anywhere.
    """
    shape = networks[0].shape
    n_values = len(networks) * shape.window * shape.n_sensors
    n_windows = max(1, MAX_VALUES_PER_LAUNCH[device.type] // n_values)
    is_whole = not np.isnan(folds.folds[0].held_out.windows.flat_MF).any()
    with torch.inference_mode():
        for number, fold in enumerate(folds.folds):
            members = [network.member(number).to(device) for network in networks]
            windows = fold.held_out.windows
            for begin in range(0, len(windows), n_windows):
                x_BTF = windows.gather(slice(begin, begin + n_windows))
                x = torch.from_numpy(x_BTF).to(device)
                yield (members, x, None) if is_whole else (members, *filled(x))
