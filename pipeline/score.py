"""Windows to scores: one forward pass per poll, on CPU or GPU."""

import re

import numpy as np
import torch

from pipeline.detector.detector import Detector, Measures
from pipeline.errors import InputError
from pipeline.records import IntArray, Scores
from pipeline.window import Windows

MAX_VALUES_PER_LAUNCH = 2**24
"""Values (windows x T x F x networks) in one forward pass: 64 MiB, so that memory stays
bounded. Convolutions take some seven times as much on the way."""


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        InputError: the device named is not there.
    """
    n_gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if n_gpus else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise InputError(f"device {name!r}: expected auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise InputError(
            f"device {name!r}: this machine has {n_gpus} GPUs; use cpu or auto"
        )
    return device


class Scorer:
    """Scores the windows of one poll. Owns the detector's place on the device, and what
    scores need of each unit's windows before."""

    def __init__(self, detector: Detector, device: torch.device) -> None:
        self._detector = detector
        self._device = device
        detector.to(device)
        self._memory = detector.memory()
        n_members = sum(network.shape.n_members for network in detector.networks)
        n_values = detector.window * len(detector.sensors) * n_members
        self._max_windows = max(1, MAX_VALUES_PER_LAUNCH // n_values)

    @property
    def device_type(self) -> str:
        """`cpu` or `cuda`."""
        return self._device.type

    @property
    def n_memory(self) -> int:
        """Windows of a unit before the newest that its score depends on."""
        return self._detector.scoring.n_memory

    def score(self, windows: Windows, row_B: IntArray, n_rows: int) -> Scores:
        """Score every window: one launch, unless it would take too much memory.

        Args:
            windows: those of one unit together, in order.
            row_B: the unit's row of each.
            n_rows: rows given out so far.
        """
        parts = [
            self._detector.measure(
                windows.gather(slice(begin, begin + self._max_windows)), self._device
            )
            for begin in range(0, max(len(windows), 1), self._max_windows)
        ]
        measures = (
            parts[0]
            if len(parts) == 1
            else Measures(*(np.concatenate(c) for c in zip(*parts, strict=True)))
        )
        return self._detector.score(measures, row_B, n_rows, self._memory)

    def forget(self, rows: IntArray) -> None:
        """Clear these rows: the next unit in each starts without a past."""
        self._memory.forget(rows)

    def forget_all(self) -> None:
        """Clear every row: a new stream begins."""
        self._memory = self._detector.memory()
