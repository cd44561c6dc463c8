"""History to folds: what each member trains on, and what is held out from it."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.window import Windows
from trainer.clean_windows import clean_starts, covered, is_clean, joined
from trainer.history import History

MIN_TRAINING_WINDOWS = 32
MIN_HELD_OUT_WINDOWS = 8
BEYOND = "more than max_readings"
UNIT_TOO_SHORT = "unit too short"


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
    span_S2: IntArray
    """Readings [first, last) that are held out of each unit that is long enough. Those with
    a label among them are in no window of the fold."""


@dataclass(frozen=True, slots=True)
class Folds:
    """A history, cut."""

    folds: list[Fold]
    used_N: BoolArray
    """Readings in a window of some fold: what is scaled by."""
    n_left_out: dict[str, int]
    """Readings in no window, by reason; each has one. Some were not even read."""

    @property
    def series_B(self) -> IntArray:  # noqa: N802 - a shape suffix, as everywhere
        """The series of all held-out windows, fold after fold."""
        return np.concatenate([fold.held_out.series_B for fold in self.folds])

    def n_windows(self) -> dict[str, int]:
        """Training windows of a member on average, held-out ones of all together."""
        n_training = sum(len(fold.training) for fold in self.folds) / len(self.folds)
        n_held_out = sum(len(fold.held_out.windows) for fold in self.folds)
        return {"training": round(n_training), "held out": n_held_out}

    def fewest_windows(self) -> tuple[int, int]:
        """Training windows, and held-out ones, of the fold that has the fewest of each."""
        n_training = min(len(fold.training) for fold in self.folds)
        return n_training, min(len(fold.held_out.windows) for fold in self.folds)

    def over(self, values_NF: FloatArray) -> "Folds":
        """The same folds over other values of the same rows."""
        return replace(
            self,
            folds=[
                replace(
                    fold,
                    training=replace(fold.training, flat_MF=values_NF),
                    held_out=fold.held_out._replace(
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
    most like. Windows that touch a labelled reading are left out everywhere, and those that
    span readings which were not kept. Each unit is cut at equal shares of what is left of
    it. So units that came late or left early are in all folds, and no fold is all labels.

    Args:
        history: N readings.
        length: T, readings in a window.
        stride: readings from one training window to the next. Held-out windows end at
            every reading, as live ones do.
        n_folds: stretches.
        held_out_fraction: share of each series that is held out, of one fold.

    Raises:
        InputError: too few windows; says whether by labels, or how many rows are needed.
    """
    share = held_out_share(n_folds, held_out_fraction)
    folds = _cut(history, length, stride, n_folds, share)
    if _is_enough(folds):
        return folds
    if history.label_N.all():
        raise InputError(
            "every row is labelled as anomalous; a detector learns from those with label 0"
        )
    unlabelled = replace(history, label_N=np.zeros_like(history.label_N))
    if _is_enough(_cut(unlabelled, length, stride, n_folds, share)):
        raise InputError(_too_much_labelled(history, folds))
    raise InputError(_too_short(history, folds, length, stride, share))


def held_out_share(n_folds: int, held_out_fraction: float) -> float:
    """Of each unit, by each fold. The fraction is that of one fold only."""
    return held_out_fraction if n_folds == 1 else 1.0 / n_folds


def is_long(n_U: IntArray, share: float, length: int) -> BoolArray:
    """Whether so many readings of each unit hold a window in the share held out."""
    return np.asarray(np.floor(n_U * share) >= length)


def _cut(history: History, length: int, stride: int, n_folds: int, share: float) -> Folds:
    is_clean_B = is_clean(history, length)
    bounds_U2 = np.stack([history.begin_U[:-1], history.begin_U[1:]], axis=1)
    clean = [clean_starts(a, b, length, 1, is_clean_B) for a, b in bounds_U2.tolist()]
    in_clean_N = covered(Windows(history.values_NF, joined(clean), length))
    kept_K = np.flatnonzero(in_clean_N)
    kept_U2 = np.searchsorted(kept_K, bounds_U2)
    is_long_U = is_long(np.diff(kept_U2)[:, 0], share, length)
    folds: list[Fold] = []
    n_series = 0
    for number in range(n_folds):
        training, held_out, units, held_spans = [], [], [], []
        for unit in np.flatnonzero(is_long_U).tolist():
            begin, end = bounds_U2[unit].tolist()
            kept_of_unit = kept_K[slice(*kept_U2[unit])]
            first, last = _held_out_span(kept_of_unit, number, n_folds, share)
            spans = ((begin, first), (last, end))
            held_spans.append((first, last))
            training += [clean_starts(a, b, length, stride, is_clean_B) for a, b in spans]
            held_out.append(clean_starts(first, last, length, 1, is_clean_B))
            units.append(np.full(len(held_out[-1]), unit))
        start_B, unit_B = joined(held_out), joined(units)
        is_new_B = np.ones(len(start_B), dtype=np.bool_)
        is_new_B[1:] = (np.diff(start_B) != 1) | (np.diff(unit_B) != 0)
        series_B = n_series + np.cumsum(is_new_B) - 1
        n_series += int(is_new_B.sum())
        windows = Windows(history.values_NF, start_B, length)
        time_s_B = history.time_s_N[start_B + length - 1]
        folds.append(
            Fold(
                Windows(history.values_NF, joined(training), length),
                HeldOut(windows, series_B, unit_B, time_s_B),
                np.array(held_spans, dtype=np.int64).reshape(-1, 2),
            )
        )
    parts = [part for fold in folds for part in (fold.training, fold.held_out.windows)]
    used_N = np.logical_or.reduce([covered(part) for part in parts])
    n_of_unit = np.diff(history.begin_U)
    would_do_U = is_long(n_of_unit, share, length)
    mask_of = {
        "labelled as anomalous": history.label_N,
        UNIT_TOO_SHORT: np.repeat(~would_do_U, n_of_unit),
        "unit too short without its labelled rows": np.repeat(~is_long_U, n_of_unit),
        "in no whole window": ~used_N,
    }
    n_left_out = Counter(
        {BEYOND: history.n_beyond, UNIT_TOO_SHORT: history.n_of_short_units}
    )
    n_left_out.update(_counted(~used_N, mask_of))
    return Folds(folds, used_N, {reason: n for reason, n in n_left_out.items() if n})


def _held_out_span(
    kept_K: IntArray, number: int, n_folds: int, share: float
) -> tuple[int, int]:
    """The readings [first, last) that a fold holds out, of those kept of a unit."""
    n_kept = len(kept_K)
    end = int(kept_K[-1]) + 1
    if n_folds == 1:
        return int(kept_K[n_kept - int(n_kept * share)]), end
    first, last = n_kept * number // n_folds, n_kept * (number + 1) // n_folds
    return int(kept_K[first]), end if last == n_kept else int(kept_K[last])


def _counted(left_out_N: BoolArray, mask_of: dict[str, BoolArray]) -> dict[str, int]:
    """Each reading that is left out once, for the first reason that holds."""
    n_of: dict[str, int] = {}
    for reason, mask_N in mask_of.items():
        n_of[reason] = int((left_out_N & mask_N).sum())
        left_out_N = left_out_N & ~mask_N
    return n_of


def _is_enough(folds: Folds) -> bool:
    n_training, n_held_out = folds.fewest_windows()
    return n_held_out >= MIN_HELD_OUT_WINDOWS and n_training >= MIN_TRAINING_WINDOWS


def _too_much_labelled(history: History, folds: Folds) -> str:
    n_labelled = int(history.label_N.sum())
    return (
        f"of {len(history):,} rows {n_labelled:,} are labelled as anomalous, too many: "
        f"{_holds(folds)}. Give more rows that are not, or a smaller --window"
    )


def _too_short(
    history: History, folds: Folds, length: int, stride: int, share: float
) -> str:
    # What a member trains on may lie on both sides of what is held out from it.
    n_to_train_on = (2 * length + stride * MIN_TRAINING_WINDOWS) / (1.0 - share)
    n_needed = math.ceil(max((length + MIN_HELD_OUT_WINDOWS - 1) / share, n_to_train_on))
    longest = int(np.diff(history.begin_U).max())
    if history.n_beyond:
        return (
            f"what was read of the history is too short: {_holds(folds)}; raise "
            "TRAINER_MAX_READINGS (--set max_readings=...), or give a smaller --window"
        )
    return (
        f"the history is too short: {_holds(folds)}. With windows of {length} a unit needs "
        f"about {n_needed} rows; the longest has {longest}. Give more history, or a "
        "smaller --window"
    )


def _holds(folds: Folds) -> str:
    n_training, n_held_out = folds.fewest_windows()
    return (
        f"a fold holds {n_training} windows without a label to train on and {n_held_out} "
        f"held out, {MIN_TRAINING_WINDOWS} and {MIN_HELD_OUT_WINDOWS} are needed"
    )
