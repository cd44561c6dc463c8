"""Windows to scores: one forward pass per poll, on CPU or GPU."""

import re

import numpy as np
import torch

from pipeline.detector.detector import Detector
from pipeline.errors import InputError
from pipeline.records import Scores
from pipeline.window import Windows

MAX_VALUES_PER_LAUNCH = 2**24
"""Values (windows x T x F) in one forward pass: 64 MiB, so that memory stays bounded."""


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
    """Scores the windows of one poll. Owns the detector's place on the device."""

    def __init__(self, detector: Detector, device: torch.device) -> None:
        self._detector = detector
        self._device = device
        detector.network.to(device)
        n_values = detector.window * len(detector.sensors)
        self._max_windows = max(1, MAX_VALUES_PER_LAUNCH // n_values)

    @property
    def device_type(self) -> str:
        """`cpu` or `cuda`."""
        return self._device.type

    def score(self, windows: Windows) -> Scores:
        """Score every window: one launch, unless it would take too much memory."""
        parts = [
            self._detector.score(
                windows.gather(slice(begin, begin + self._max_windows)), self._device
            )
            for begin in range(0, max(len(windows), 1), self._max_windows)
        ]
        if len(parts) == 1:
            return parts[0]
        return Scores(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
