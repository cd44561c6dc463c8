"""Whether networks are to be trained against labelled events, seen before training."""

import numpy as np

from pipeline.detector.signature import CLIP, Signature
from pipeline.records import FloatArray, IntArray
from trainer.labels.events import Labels
from trainer.labels.signature import MAX_SPAN, MAX_WEIGHT, fit_signature
from trainer.split import Folds

MAX_NORMAL = 5_000
"""Stretches of normal readings, evenly spaced."""


def contrast_share(labels: Labels, folds: Folds) -> float:
    """1.0 if events are alike throughout, by where their sensors stand, else 0.0.

    Networks that were held against events of many kinds explain normal readings less well,
    and that costs more than it gains. A score can be doubted, networks cannot: so they are
    changed on full evidence alone. A single event is none.

    Args:
        labels: over scaled readings.
        folds: over the same.
    """
    if not labels.anomalous:
        return 0.0
    start_B = np.concatenate([fold.held_out.windows.start_B for fold in folds.folds])
    newest_B = start_B[:: max(len(start_B) // MAX_NORMAL, 1)] + labels.length - 1
    span = min(MAX_SPAN, labels.length)
    normal_BF = np.stack(
        [_clipped(labels.values_NF, newest_B - back) for back in range(span)]
    ).mean(axis=0)
    events = [event.labelled_B + labels.length - 1 for event in labels.anomalous]
    mean_EF = np.stack([_clipped(labels.values_NF, row_B).mean(axis=0) for row_B in events])
    nothing_F = np.zeros(normal_BF.shape[1], dtype=np.float32)
    empty = Signature(
        "offset", span, nothing_F + 1, nothing_F, nothing_F[None], 0.0, 1.0, 0.0
    )
    n_E = [len(row_B) for row_B in events]
    weight = fit_signature(empty, normal_BF, mean_EF, n_E, sign=1.0).weight
    return float(weight >= MAX_WEIGHT)


def _clipped(values_NF: FloatArray, row_B: IntArray) -> FloatArray:
    """These rows, clipped; 0, the sensor's mean, where a value is missing."""
    return np.clip(np.nan_to_num(values_NF[row_B]), -CLIP, CLIP)
