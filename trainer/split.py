"""History to training, validation and calibration windows, apart in time."""

import math
from dataclasses import dataclass, replace

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray, IntArray, TimeArray
from pipeline.window import Windows
from trainer.history import History, listed

PARTS = ("training", "validation", "calibration")
MIN_WINDOWS = {"training": 32, "validation": 8, "calibration": 8}
MIN_VALUES = 10
MIN_VALUES_SHARE = 0.01
"""A sensor with fewer values than this in the training part, in number or as a share of its
rows, is left out: nothing is learned of it, and a mean or scale of so few means nothing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Windows of the three parts. No reading is in two of them."""

    training: Windows
    training_N: BoolArray
    """Which of the history's readings are in a training window: the scaler's rows."""
    validation: Windows
    calibration: Windows
    calibration_unit_B: IntArray
    """Unit of each calibration window; a unit's are in the order of time."""
    calibration_time_s_B: TimeArray
    """Time of each calibration window's newest reading."""
    n_left_out: dict[str, int]
    """Readings in no window, by reason; each has one."""

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
    too_short_N = np.zeros(len(history), dtype=np.bool_)
    gap_N = np.zeros(len(history), dtype=np.bool_)
    for unit in range(len(history.units)):
        begin, end = history.begin_U[unit : unit + 2].tolist()
        spans = _spans(begin, end, length, validation_fraction, calibration_fraction)
        if spans is None:
            too_short_N[begin:end] = True
            continue
        gap_N[begin:end] = True
        for part, (first, last) in spans.items():
            step = 1 if part == "calibration" else stride
            start_B = np.arange(first, last - length + 1, step, dtype=np.int64)
            n_labels_B = n_labels_before[start_B + length] - n_labels_before[start_B]
            starts[part].append(start_B[n_labels_B == 0])
            gap_N[first:last] = False
        calibration_units.append(np.full(len(starts["calibration"][-1]), unit))
    windows = {part: Windows(flat_NF, _joined(starts[part]), length) for part in PARTS}
    _check_enough(
        history, windows, length, stride, validation_fraction, calibration_fraction
    )
    used_N = np.logical_or.reduce([_covered(part) for part in windows.values()])
    return Parts(
        training=windows["training"],
        training_N=_covered(windows["training"]),
        validation=windows["validation"],
        calibration=windows["calibration"],
        calibration_unit_B=_joined(calibration_units),
        calibration_time_s_B=history.time_s_N[windows["calibration"].start_B + length - 1],
        n_left_out=_counted(
            ~used_N,
            {
                "labelled as anomalous": history.label_N,
                "unit too short": too_short_N,
                "gap between parts": gap_N,
                "in no whole window": ~used_N,
            },
        ),
    )


def without_unseen_sensors(history: History, parts: Parts) -> tuple[History, Parts]:
    """Leave out sensors with no values in the training part, or next to none.

    A sensor that began to report after it would be scaled by nothing: whatever it shows
    then would be a huge error, and a threshold above that is blind to everything else.

    Raises:
        InputError: no sensor is left.
    """
    n_rows = int(parts.training_N.sum())
    n_values_F = (~np.isnan(history.values_NF[parts.training_N])).sum(axis=0)
    n_needed = max(MIN_VALUES, math.ceil(MIN_VALUES_SHARE * n_rows))
    keep_F = n_values_F >= n_needed
    if keep_F.all():
        return history, parts
    unseen = [s for s, keep in zip(history.sensors, keep_F, strict=True) if not keep]
    too_few = f"fewer than {n_needed} values in the {n_rows:,} rows of the training part"
    if not keep_F.any():
        raise InputError(
            f"every sensor has {too_few}, so there is nothing to learn from: "
            f"{listed(unseen)}"
        )
    kept = replace(
        history,
        sensors=tuple(s for s in history.sensors if s not in set(unseen)),
        values_NF=history.values_NF[:, keep_F],
        notes=[*history.notes, f"sensors left out, {too_few}: {listed(unseen)}"],
    )
    training, validation, calibration = (
        replace(part, flat_MF=kept.values_NF)
        for part in (parts.training, parts.validation, parts.calibration)
    )
    return kept, replace(
        parts, training=training, validation=validation, calibration=calibration
    )


def _covered(windows: Windows) -> BoolArray:
    """Which readings are in one of these windows."""
    n_readings = len(windows.flat_MF)
    begun_N = np.bincount(windows.start_B, minlength=n_readings + 1)
    ended_N = np.bincount(windows.start_B + windows.length, minlength=n_readings + 1)
    return np.asarray(np.cumsum(begun_N - ended_N)[:n_readings] > 0)


def _counted(left_out_N: BoolArray, mask_of: dict[str, BoolArray]) -> dict[str, int]:
    """Each reading that is left out once, for the first reason that holds."""
    n_of: dict[str, int] = {}
    for reason, mask_N in mask_of.items():
        n_of[reason] = int((left_out_N & mask_N).sum())
        left_out_N = left_out_N & ~mask_N
    return {reason: n for reason, n in n_of.items() if n}


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
