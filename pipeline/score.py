"""Windows to scores: one forward pass per poll, on CPU or GPU."""

import re
from collections.abc import Sequence

import numpy as np
import torch

from pipeline.detector.detector import Detector
from pipeline.detector.latent import Encoder
from pipeline.detector.scaling import POOLED
from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray, Scores
from pipeline.trail import extended, n_to_add
from pipeline.window import Windows

LARGEST = float(np.finfo(np.float16).max)
UNKNOWN = -1
"""The line of a row whose unit was not looked up yet."""


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
    """Scores the windows of one poll. Owns the detector's place on the device, what scores
    need of each unit's windows before, and which scaling is each unit's."""

    def __init__(
        self, detector: Detector, device: torch.device, has_latents: bool = False
    ) -> None:
        """Move the detector to `device`; `has_latents`: see `Scores.latent_BL`."""
        self._detector = detector
        self._device = device
        detector.to(device)
        self._encoder = Encoder(detector) if has_latents else None
        self._memory = detector.memory()
        self._line_U = np.empty(0, dtype=np.int64)
        self._unknown: list[str] = []

    @property
    def device_type(self) -> str:
        """`cpu` or `cuda`."""
        return self._device.type

    @property
    def n_memory(self) -> int:
        """Windows of a unit before the newest that its score depends on."""
        return self._detector.scoring.n_memory

    @property
    def n_latent(self) -> int:
        """L, the size of the latent vectors that scores have; 0 if they have none."""
        return 0 if self._encoder is None else self._encoder.n_latent

    def score(self, windows: Windows, row_B: IntArray, units: Sequence[str]) -> Scores:
        """Score every window.

        Args:
            windows: those of one unit together, in order.
            row_B: the unit's row of each.
            units: the names of all rows given out so far.
        """
        line_B = self._lines(row_B, units)
        measures = self._detector.measure(windows, line_B)
        scores = self._detector.score(measures, row_B, len(units), self._memory)
        if self._encoder is None:
            return scores
        latent_BL = _latents(self._encoder, windows, line_B, scores.score_B >= 1.0)
        return scores._replace(latent_BL=latent_BL)

    def take_unknown(self) -> list[str]:
        """Units first scored since the last call that have no scaler of their own though
        others have: the detector was not trained on them, and is less sensitive to them."""
        unknown, self._unknown = self._unknown, []
        return unknown

    def forget(self, rows: IntArray) -> None:
        """Clear these rows: the next unit in each starts without a past."""
        self._memory.forget(rows)
        self._line_U[rows[rows < len(self._line_U)]] = UNKNOWN

    def forget_all(self) -> None:
        """Clear every row: a new stream begins."""
        self._memory = self._detector.memory()
        self._line_U = np.empty(0, dtype=np.int64)

    def _lines(self, row_B: IntArray, units: Sequence[str]) -> IntArray | None:
        scaling = self._detector.scaling
        if not scaling.units:
            return None
        n_new = n_to_add(len(self._line_U), len(units))
        if n_new:
            self._line_U = extended(self._line_U, n_new, UNKNOWN)
        for row in np.unique(row_B[self._line_U[row_B] == UNKNOWN]).tolist():
            self._line_U[row] = line = scaling.line(units[row])
            if line == POOLED:
                self._unknown.append(units[row])
        return np.asarray(self._line_U[row_B])


def _latents(
    encoder: Encoder, windows: Windows, line_B: IntArray | None, wanted_B: BoolArray
) -> FloatArray:
    """See `Scores.latent_BL`. Few are wanted: others are not encoded."""
    latent_BL = np.zeros((len(windows), encoder.n_latent), dtype=np.float32)
    at = np.flatnonzero(wanted_B)
    if len(at):
        some = Windows(windows.flat_MF, windows.start_B[at], windows.length)
        latents = encoder.latents(some, None if line_B is None else line_B[at])
        # Half the digits say as much, and leave room in the note for more incidents.
        latent_BL[at] = latents.mean_BL.clip(-LARGEST, LARGEST).astype(np.float16)
    return latent_BL
