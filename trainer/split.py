"""History to folds: what each member trains on, and what is held out from it."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.window import Windows
from trainer.history import History, listed

MIN_TRAINING_WINDOWS = 32
MIN_HELD_OUT_WINDOWS = 8
MIN_VALUES = 10
MIN_VALUES_SHARE = 0.01
"""A sensor with fewer values than this, in number or as a share of the rows, is left out:
nothing is learned of it, and a mean or scale of so few means nothing."""


class HeldOut(NamedTuple):
    """Windows that a member did not train on, those of one series in order."""

    windows: Windows
    series_B: IntArray
    """A stretch of one unit without a gap; numbered from 0 over all folds."""
    unit_B: IntArray
    time_s_B: TimeArray
    """Of each window's newest reading."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One member's windows. No reading is both trained on and held out."""

    training: Windows
    held_out: HeldOut


@dataclass(frozen=True, slots=True)
class Folds:
    """A history, cut."""

    folds: list[Fold]
    used_N: BoolArray
    """Readings in a window of some fold: what is scaled by."""
    n_left_out: dict[str, int]
    """Readings in no window, by reason; each has one."""

    @property
    def series_B(self) -> IntArray:  # noqa: N802 - a shape suffix, as everywhere
        """The series of all held-out windows, fold after fold."""
        return np.concatenate([fold.held_out.series_B for fold in self.folds])

    def n_windows(self) -> dict[str, int]:
        """Training windows of a member on average, held-out ones of all together."""
        n_training = sum(len(fold.training) for fold in self.folds) / len(self.folds)
        n_held_out = sum(len(fold.held_out.windows) for fold in self.folds)
        return {"training": round(n_training), "held out": n_held_out}

    def over(self, values_NF: FloatArray) -> "Folds":
        """The same folds over other values of the same rows."""
        return replace(
            self,
            folds=[
                Fold(
                    replace(fold.training, flat_MF=values_NF),
                    fold.held_out._replace(
                        windows=replace(fold.held_out.windows, flat_MF=values_NF)
                    ),
                )
                for fold in self.folds
            ],
        )


def split(
    history: History, length: int, stride: int, n_folds: int, held_out_fraction: float
) -> Folds:
    """Cut each unit's series in `n_folds` stretches; each fold holds one out.

    Scores of what a network trained on say little of how it will score what it has not
    seen. Of one fold only, the end of each series is held out: what live readings will be
    most like. Windows that touch a labelled reading are left out everywhere. Each unit is
    cut at its own shares, so that units that came late or left early are in all folds.

    Args:
        history: N readings.
        length: T, readings in a window.
        stride: readings from one training window to the next. Held-out windows end at
            every reading, as live ones do.
        n_folds: stretches.
        held_out_fraction: share of each series that is held out, of one fold.

    Raises:
        InputError: too few windows; says how many rows are needed.
    """
    # A window is clean if no label is among its readings.
    n_labels_before = np.concatenate([[0], np.cumsum(history.label_N)])
    share = held_out_fraction if n_folds == 1 else 1.0 / n_folds
    bounds_U2 = np.stack([history.begin_U[:-1], history.begin_U[1:]], axis=1)
    is_long_U = np.floor((bounds_U2[:, 1] - bounds_U2[:, 0]) * share) >= length
    folds: list[Fold] = []
    n_series = 0
    for number in range(n_folds):
        training, held_out, units = [], [], []
        for unit in np.flatnonzero(is_long_U).tolist():
            begin, end = bounds_U2[unit].tolist()
            first, last = _held_out_span(begin, end, number, n_folds, share)
            spans = ((begin, first), (last, end))
            training += [_clean(a, b, length, stride, n_labels_before) for a, b in spans]
            held_out.append(_clean(first, last, length, 1, n_labels_before))
            units.append(np.full(len(held_out[-1]), unit))
        start_B, unit_B = _joined(held_out), _joined(units)
        is_new_B = np.ones(len(start_B), dtype=np.bool_)
        is_new_B[1:] = (np.diff(start_B) != 1) | (np.diff(unit_B) != 0)
        series_B = n_series + np.cumsum(is_new_B) - 1
        n_series += int(is_new_B.sum())
        windows = Windows(history.values_NF, start_B, length)
        time_s_B = history.time_s_N[start_B + length - 1]
        folds.append(
            Fold(
                Windows(history.values_NF, _joined(training), length),
                HeldOut(windows, series_B, unit_B, time_s_B),
            )
        )
    _check_enough(history, folds, length, stride, share)
    used_N = np.logical_or.reduce(
        [
            _covered(part)
            for fold in folds
            for part in (fold.training, fold.held_out.windows)
        ]
    )
    too_short_N = np.repeat(~is_long_U, np.diff(history.begin_U))
    return Folds(
        folds=folds,
        used_N=used_N,
        n_left_out=_counted(
            ~used_N,
            {
                "labelled as anomalous": history.label_N,
                "unit too short": too_short_N,
                "in no whole window": ~used_N,
            },
        ),
    )


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


def _held_out_span(
    begin: int, end: int, number: int, n_folds: int, share: float
) -> tuple[int, int]:
    n_readings = end - begin
    if n_folds == 1:
        return end - int(n_readings * share), end
    return begin + n_readings * number // n_folds, begin + n_readings * (
        number + 1
    ) // n_folds


def _clean(
    first: int, last: int, length: int, stride: int, n_labels_before: IntArray
) -> IntArray:
    """Starts of the windows within readings [first, last) that touch no label."""
    start_B = np.arange(first, last - length + 1, stride, dtype=np.int64)
    n_labels_B = n_labels_before[start_B + length] - n_labels_before[start_B]
    return np.asarray(start_B[n_labels_B == 0])


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


def _check_enough(
    history: History, folds: list[Fold], length: int, stride: int, share: float
) -> None:
    n_held_out = min(len(fold.held_out.windows) for fold in folds)
    n_training = min(len(fold.training) for fold in folds)
    if n_held_out >= MIN_HELD_OUT_WINDOWS and n_training >= MIN_TRAINING_WINDOWS:
        return
    # What a member trains on may lie on both sides of what is held out from it.
    n_to_train_on = (2 * length + stride * MIN_TRAINING_WINDOWS) / (1.0 - share)
    n_needed = math.ceil(max((length + MIN_HELD_OUT_WINDOWS - 1) / share, n_to_train_on))
    longest = int(np.diff(history.begin_U).max())
    raise InputError(
        f"the history is too short: a fold holds {n_training} windows without a label to "
        f"train on and {n_held_out} held out, {MIN_TRAINING_WINDOWS} and "
        f"{MIN_HELD_OUT_WINDOWS} are needed. With windows of {length} a unit needs about "
        f"{n_needed} rows; the longest has {longest}. Give more history, or a smaller "
        "--window"
    )


def _joined(arrays: list[IntArray]) -> IntArray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
