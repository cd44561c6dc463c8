"""What a detector must beat: methods that know nothing, or next to nothing.

Each is a scorer like the detector: larger is more anomalous, and 1.0 is its threshold. They
learn from the reference that stands in the detector's folder, never from what is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.detector.files import MAX_REFERENCE_BYTES
from pipeline.records import FloatArray
from pipeline.window import Windows

Values = npt.NDArray[np.float64]

MAX_REFERENCE_WINDOWS = 2_000
MAX_REFERENCE_LENGTH = 8
"""Readings in a window of the reference."""
MIN_WHOLE_WINDOWS = 32
"""Fewer in their whole length are of no use."""
NOMINAL_FAR = 0.01
"""Share of normal readings that a baseline takes for anomalous, by its own threshold."""
N_FOLDS = 2
"""Parts of the reference, each scored by what was learned from the rest."""
RIDGE = 1e-3
"""Of the variance of a scaled sensor, added so that any covariance has an inverse."""
MAX_SCALED = 1e3
"""Scaled values are cut here, so that squares of differences keep their digits."""
MAX_DISTANCES = 2**22
"""Computed at a time, so that memory stays bounded."""


def reference_windows(training: Windows) -> FloatArray:
    """A sample of normal history to keep with a detector.

    Returns:
        The newest readings of scaled training windows drawn evenly over all of them, in
        their order: at most 2,000 of at most 8 readings, and 4 MiB in all. Shape (B, t, F).
    """
    length = min(training.length, MAX_REFERENCE_LENGTH)
    n_fitting = MAX_REFERENCE_BYTES // (4 * length * training.flat_MF.shape[1])
    n_windows = max(1, min(len(training), MAX_REFERENCE_WINDOWS, n_fitting))
    at = np.linspace(0, len(training) - 1, n_windows).astype(np.int64)
    newest_B = training.start_B + training.length - length
    return replace(training, start_B=newest_B, length=length).gather(at)


def whole_windows(training: Windows) -> FloatArray | None:
    """Windows of normal history in their whole length, to keep with a detector.

    Returns:
        Scaled training windows drawn evenly over all of them, in their order: at most
        2,000, and 4 MiB in all. Shape (B, T, F); None where fewer than 32 fit.
    """
    n_fitting = MAX_REFERENCE_BYTES // (4 * training.length * training.flat_MF.shape[1])
    n_windows = min(len(training), MAX_REFERENCE_WINDOWS, n_fitting)
    if n_windows < MIN_WHOLE_WINDOWS:
        return None
    return training.gather(np.linspace(0, len(training) - 1, n_windows).astype(np.int64))


class Baseline(Protocol):
    """A method that scores windows of readings."""

    def distance(self, x_BTF: Values) -> Values:
        """How unusual each window is, shape (B,), >= 0.

        Args:
            x_BTF: windows after scaling, complete; t readings each, as in the reference.
        """


class Mahalanobis:
    """Distance of the newest reading from the mean, given how sensors vary together."""

    def __init__(self, reference_BTF: Values) -> None:
        flat_NF = reference_BTF.reshape(-1, reference_BTF.shape[2])
        self._mean_F = flat_NF.mean(axis=0)
        # Not through the covariance, which of thousands of sensors would be huge.
        _, singular_K, self._axes_KF = np.linalg.svd(
            flat_NF - self._mean_F, full_matrices=False
        )
        self._variance_K = np.square(singular_K) / len(flat_NF) + RIDGE

    def distance(self, x_BTF: Values) -> Values:
        centred_BF = x_BTF[:, -1] - self._mean_F
        square_BK = np.square(centred_BF @ self._axes_KF.T)
        # Of what lies along no axis only the ridge is known.
        rest_B = np.square(centred_BF).sum(axis=1) - square_BK.sum(axis=1)
        square_B = (square_BK / self._variance_K).sum(axis=1)
        return np.asarray(np.sqrt(square_B + np.maximum(rest_B, 0.0) / RIDGE))


class NearestWindow:
    """Distance to the nearest of the windows of normal history."""

    def __init__(self, reference_BTF: Values) -> None:
        self._reference_RV = reference_BTF.reshape(len(reference_BTF), -1)
        self._square_R = np.square(self._reference_RV).sum(axis=1)

    def distance(self, x_BTF: Values) -> Values:
        x_BV = x_BTF.reshape(len(x_BTF), -1)
        nearest_B = np.empty(len(x_BV))
        n_chunk = max(1, MAX_DISTANCES // len(self._reference_RV))
        for begin in range(0, len(x_BV), n_chunk):
            chunk_BV = x_BV[begin : begin + n_chunk]
            # Less the window's own square, which is the same for all of the reference.
            partial_BR = self._square_R - 2 * chunk_BV @ self._reference_RV.T
            square_B = partial_BR.min(axis=1) + np.square(chunk_BV).sum(axis=1)
            nearest_B[begin : begin + n_chunk] = np.sqrt(np.maximum(square_B, 0.0))
        return nearest_B


LEARNED: dict[str, Callable[[Values], Baseline]] = {
    "mahalanobis": Mahalanobis,
    "nearest_window": NearestWindow,
}


@dataclass(frozen=True, slots=True)
class LearnedBaseline:
    """A baseline with the threshold after it."""

    method: Baseline
    threshold: float
    length: int
    """Readings that it looks at."""

    def score(self, x_NF: FloatArray) -> Values:
        """Score each reading of a unit together with those before it.

        Args:
            x_NF: scaled readings in the order of time, NaN where missing.

        Returns:
            Shape (N - length + 1,), from the first whole window on; 1.0 is the threshold.
        """
        if len(x_NF) < self.length:
            return np.empty(0)
        whole_NF = complete(x_NF)
        start_B = np.arange(len(x_NF) - self.length + 1)
        n_chunk = max(1, MAX_DISTANCES // (self.length * x_NF.shape[1]))
        chunks = [start_B[at : at + n_chunk] for at in range(0, len(start_B), n_chunk)]
        steps_T = np.arange(self.length)
        distances = [self.method.distance(whole_NF[b[:, None] + steps_T]) for b in chunks]
        return np.asarray(np.concatenate(distances) / self.threshold)


def learn(
    name: str, reference_BTF: FloatArray, nominal_far: float = NOMINAL_FAR
) -> LearnedBaseline:
    """Learn one of `LEARNED` from a reference: scaled windows, see `reference_windows`.

    Its threshold is the quantile of the reference's own distances above which the share
    `nominal_far` lies, each half measured by what was learned from the other: how often it
    alerts on live normal readings is not known.
    """
    method = LEARNED[name]
    x_BTF = complete(reference_BTF)
    folds = np.array_split(np.arange(len(x_BTF)), min(N_FOLDS, len(x_BTF)))
    if len(folds) == 1:
        held_out_B = method(x_BTF).distance(x_BTF)
    else:
        held_out_B = np.concatenate(
            [method(np.delete(x_BTF, f, axis=0)).distance(x_BTF[f]) for f in folds]
        )
    threshold = float(np.quantile(held_out_B, 1.0 - nominal_far))
    # Where nothing moved in training, the least move is above the threshold.
    threshold = max(threshold, float(np.finfo(np.float32).eps))
    return LearnedBaseline(method(x_BTF), threshold, x_BTF.shape[1])


def complete(x: FloatArray) -> Values:
    """Scaled values of any shape, none missing: one that is takes the mean."""
    return np.nan_to_num(np.clip(x.astype(np.float64), -MAX_SCALED, MAX_SCALED), nan=0.0)
