"""A history whose values say which readings are where, and what its folds hold of it."""

import numpy as np

from pipeline.records import FloatArray
from pipeline.window import Windows
from tests import builders
from trainer.history import History
from trainer.split import Folds, split

LENGTH = 8


def counting(n_of_unit: list[int], labelled: list[int] | None = None) -> History:
    """History whose only sensor counts its readings."""
    values_NF: FloatArray = np.arange(sum(n_of_unit), dtype=np.float32)[:, None]
    return builders.history(values_NF, n_of_unit, labelled or [])


def folds_of(
    history: History, length: int = LENGTH, stride: int = 1, n_folds: int = 4
) -> Folds:
    return split(history, length, stride, n_folds, held_out_fraction=0.25)


def positions(windows: Windows) -> list[list[int]]:
    """The readings of each window."""
    windows_BT: FloatArray = windows.gather(slice(None))[:, :, 0]
    return [window_T.astype(int).tolist() for window_T in windows_BT]


def readings_of(windows: Windows) -> set[int]:
    return {n for window in positions(windows) for n in window}
