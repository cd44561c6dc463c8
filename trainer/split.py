"""History to training, validation and calibration windows, apart in time."""

import math
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray, IntArray
from pipeline.window import Windows
from trainer.history import History

PARTS = ("training", "validation", "calibration")
MIN_WINDOWS = {"training": 32, "validation": 8, "calibration": 8}


@dataclass(frozen=True, slots=True)
class Parts:
    """Windows of the three parts. No reading is in two of them."""

    training: Windows
    training_N: BoolArray
    """Which of the history's readings are in the training part: the scaler's rows."""
    validation: Windows
    calibration: Windows
    calibration_unit_B: IntArray
    """Unit of each calibration window; a unit's are in the order of time."""
    n_left_out: dict[str, int]
    """Readings in no part, by reason."""

    def n_windows(self) -> dict[str, int]:
        """Windows per part."""
        parts = (self.training, self.validation, self.calibration)
        return {name: len(part) for name, part in zip(PARTS, parts, strict=True)}


def split(
    history: History,
    length: int,
    stride: int,
    validation_fraction: float,
    calibration_fraction: float,
) -> Parts:
    """Cut each unit's series in three by time: training, then validation, then calibration.

    A gap of `length` readings lies between two parts, so that nothing smeared over a
    window's length reaches from one into the next. The calibration part is the last: it is
    what live readings will be most like. Windows that touch a labelled reading are left
    out everywhere. Each unit is cut at its own shares, so that units that came late or
    left early are in all parts.

    Args:
        history: N readings.
        length: T, readings in a window.
        stride: readings from one training or validation window to the next. Calibration
            windows end at every reading, as live ones do.
        validation_fraction: share of each unit's readings.
        calibration_fraction: share of each unit's readings.

    Raises:
        InputError: too few windows in a part; says how many rows are needed.
    """
    flat_NF = history.values_NF
    # A window is clean if no label is among its readings.
    n_labels_before = np.concatenate([[0], np.cumsum(history.label_N)])
    starts: dict[str, list[IntArray]] = {part: [] for part in PARTS}
    calibration_units: list[IntArray] = []
    training_N = np.zeros(len(history), dtype=np.bool_)
    left_out = {"gap between parts": 0, "unit too short": 0}
    for unit in range(len(history.units)):
        begin, end = history.begin_U[unit : unit + 2].tolist()
        spans = _spans(begin, end, length, validation_fraction, calibration_fraction)
        if spans is None:
            left_out["unit too short"] += end - begin
            continue
        left_out["gap between parts"] += 2 * length
        for part, (first, last) in spans.items():
            step = 1 if part == "calibration" else stride
            start_B = np.arange(first, last - length + 1, step, dtype=np.int64)
            n_labels_B = n_labels_before[start_B + length] - n_labels_before[start_B]
            starts[part].append(start_B[n_labels_B == 0])
        calibration_units.append(np.full(len(starts["calibration"][-1]), unit))
        training_N[slice(*spans["training"])] = True
    training_N &= ~history.label_N
    left_out["labelled as anomalous"] = int(history.label_N.sum())
    windows = {part: Windows(flat_NF, _joined(starts[part]), length) for part in PARTS}
    _check_enough(
        history, windows, length, stride, validation_fraction, calibration_fraction
    )
    return Parts(
        training=windows["training"],
        training_N=training_N,
        validation=windows["validation"],
        calibration=windows["calibration"],
        calibration_unit_B=_joined(calibration_units),
        n_left_out={reason: n for reason, n in left_out.items() if n},
    )


def _spans(
    begin: int, end: int, length: int, validation: float, calibration: float
) -> dict[str, tuple[int, int]] | None:
    """Each part's readings as [first, last), or None if one would hold no window."""
    usable = end - begin - 2 * length
    n_validation = int(usable * validation)
    n_calibration = int(usable * calibration)
    n_training = usable - n_validation - n_calibration
    if min(n_training, n_validation, n_calibration) < length:
        return None
    after_training = begin + n_training
    after_validation = after_training + length + n_validation
    return {
        "training": (begin, after_training),
        "validation": (after_training + length, after_validation),
        "calibration": (after_validation + length, end),
    }


def _check_enough(
    history: History,
    windows: dict[str, Windows],
    length: int,
    stride: int,
    validation: float,
    calibration: float,
) -> None:
    shares = {
        "training": 1.0 - validation - calibration,
        "validation": validation,
        "calibration": calibration,
    }
    n_needed = 2 * length + max(
        math.ceil(
            (length + MIN_WINDOWS[part] * (1 if part == "calibration" else stride)) / share
        )
        for part, share in shares.items()
    )
    for part, minimum in MIN_WINDOWS.items():
        if len(windows[part]) >= minimum:
            continue
        longest = int(np.diff(history.begin_U).max())
        raise InputError(
            f"the history is too short: its {part} part holds {len(windows[part])} "
            f"windows without a label, {minimum} are needed. With windows of {length} "
            f"a unit needs about {n_needed} rows; the longest has {longest}. "
            "Give more history, or a smaller --window"
        )


def _joined(arrays: list[IntArray]) -> IntArray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
