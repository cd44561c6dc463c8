"""From history to what networks are fitted on: folds, sensors, scaled values."""

from dataclasses import dataclass

import numpy as np

from pipeline.detector.scaling import Scaling
from pipeline.records import BoolArray, FloatArray
from trainer.history import History
from trainer.labels.events import Labels, find_labels
from trainer.roles import roles
from trainer.scaling import choose_scaling
from trainer.settings import TrainerSettings
from trainer.split import Folds, split
from trainer.split_sensors import without_sensors, without_unseen_sensors
from trainer.surprise import drift


@dataclass(frozen=True, slots=True)
class Prepared:
    """A history, ready to be fitted on."""

    history: History
    """Of the sensors that are used."""
    folds: Folds
    """Over scaled readings."""
    is_scored_F: BoolArray
    scaling: Scaling
    scaling_gain: float
    """See `Choice.gain`."""
    drift_F: FloatArray
    """How far each sensor wanders, see `drift`."""
    labels: Labels | None
    """Over scaled readings; None where there are none to learn from."""


def prepare(history: History, settings: TrainerSettings) -> Prepared:
    """Cut a history in folds, choose its sensors and scale them.

    Raises:
        InputError: the history is too short or holds next to no values.
    """
    folds = split(
        history,
        settings.window,
        settings.stride,
        settings.folds,
        settings.calibration_fraction,
    )
    history, folds = without_unseen_sensors(history, folds)
    unit_N = history.unit_N[folds.used_N]
    role = roles(history.values_NF[folds.used_N], unit_N)
    is_scored_F = role.is_scored_F[~role.is_left_out_F]
    history, folds = without_sensors(history, folds, role.is_left_out_F, "one value only")
    scaling, gain = choose_scaling(
        history.values_NF[folds.used_N],
        unit_N,
        history.units,
        is_scored_F,
        settings.scaling,
    )
    line_U = np.array([scaling.line(unit) for unit in history.units])
    x_NF = scaling.scaled(history.values_NF, line_U[history.unit_N])
    drift_F = drift(np.nan_to_num(x_NF[folds.used_N]), unit_N)
    labels = find_labels(history, settings.window)
    return Prepared(
        history,
        folds.over(x_NF),
        is_scored_F,
        scaling,
        gain,
        drift_F,
        None if labels is None else labels.over(x_NF),
    )
