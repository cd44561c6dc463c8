"""Sensors of which nothing can be learned are left out of a history and its folds."""

import math
from dataclasses import replace

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray
from trainer.history import History, listed
from trainer.split import Folds

MIN_VALUES = 10
MIN_VALUES_SHARE = 0.01
"""A sensor with fewer values than this, in number or as a share of the rows, is left out:
nothing is learned of it, and a mean or scale of so few means nothing."""


def without_unseen_sensors(history: History, folds: Folds) -> tuple[History, Folds]:
    """Leave out sensors with no values in the rows used, or next to none.

    A sensor that is scaled by nothing would have a huge error whatever it shows, and a
    threshold above that is blind to everything else.

    Raises:
        InputError: no sensor is left.
    """
    n_rows = int(folds.used_N.sum())
    n_values_F = (~np.isnan(history.values_NF[folds.used_N])).sum(axis=0)
    n_needed = max(MIN_VALUES, math.ceil(MIN_VALUES_SHARE * n_rows))
    too_few = f"fewer than {n_needed} values in the {n_rows:,} rows used"
    return without_sensors(history, folds, n_values_F < n_needed, too_few)


def without_sensors(
    history: History, folds: Folds, out_F: BoolArray, reason: str
) -> tuple[History, Folds]:
    """Leave out these sensors, and note why.

    Raises:
        InputError: no sensor is left.
    """
    if not out_F.any():
        return history, folds
    names = [s for s, out in zip(history.sensors, out_F, strict=True) if out]
    if out_F.all():
        raise InputError(
            f"every sensor has {reason}, so there is nothing to learn from: {listed(names)}"
        )
    kept = replace(
        history,
        sensors=tuple(s for s in history.sensors if s not in set(names)),
        values_NF=history.values_NF[:, ~out_F],
        notes=[*history.notes, f"sensors left out, {reason}: {listed(names)}"],
    )
    return kept, folds.over(kept.values_NF)
