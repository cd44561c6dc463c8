"""How good fitted networks are on readings that were held out from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.detector.detector import MAX_VALUES_PER_LAUNCH
from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.detector.scoring import Scoring
from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.prepare import Prepared
from trainer.ranking import average_precision
from trainer.tuning.probes import Probe, Probes

NO_FOLD = -1
N_TOGETHER = 50
"""Probes that are scored at a time."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """What settings are ranked by: 0 to 1, more is better."""

    value: float
    parts: dict[str, float]
    """By kind of fault, or by unit with labels."""


class Stretch(NamedTuple):
    """Consecutive rows of one unit to judge."""

    unit: int
    rows: slice
    """Of the history."""
    values_MF: FloatArray
    """These rows and up to window - 1 before them, in the sensors' own units. They may have
    been changed."""


class _Part(NamedTuple):
    stretch: int
    begin: int
    """Its first row in the stretch."""
    fold: int
    views_BTF: FloatArray


class HeldOutJudge:
    """Scores any held-out rows of a history by the members that did not train on them.

    Owns nothing but which fold each row belongs to.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        scoring: Scoring,
        prepared: Prepared,
        device: torch.device,
    ) -> None:
        """Take fitted networks, on `device`, and how they score."""
        self._scoring, self._device = scoring, device
        self._shape = networks[0].shape
        self._members = [
            [network.member(number).to(device) for network in networks]
            for number in range(len(prepared.folds.folds))
        ]
        history = prepared.history
        self.history = history
        self._scaling = prepared.scaling
        # Of each row, the fold that held out the whole window it ends.
        self._fold_N = np.full(len(history), NO_FOLD, dtype=np.int64)
        for number, fold in enumerate(prepared.folds.folds):
            for first, last in fold.span_S2.tolist():
                self._fold_N[first + self._shape.window - 1 : last] = number
        for joint in history.joint_J.tolist():
            self._fold_N[joint : joint + self._shape.window - 1] = NO_FOLD

    @torch.inference_mode()
    def scores(self, stretches: Sequence[Stretch]) -> list[FloatArray]:
        """Scores of the rows of each stretch; 0 where nothing may judge them."""
        scores = [np.zeros(s.rows.stop - s.rows.start, dtype=np.float32) for s in stretches]
        parts = [
            part for number, s in enumerate(stretches) for part in self._parts(number, s)
        ]
        for fold in {part.fold for part in parts}:
            of_fold = [part for part in parts if part.fold == fold]
            measure_BC = np.concatenate(list(self._measures(fold, of_fold)))
            before_B = np.concatenate([np.arange(len(p.views_BTF)) for p in of_fold])
            surprise = self._scoring.surprise(
                measure_BC, np.arange(len(measure_BC)), before_B
            )
            ends = np.cumsum([len(part.views_BTF) for part in of_fold])
            for part, score_B in zip(
                of_fold, np.split(surprise.score_B, ends[:-1]), strict=True
            ):
                scores[part.stretch][part.begin : part.begin + len(score_B)] = score_B
        return scores

    def rows_before(self, unit: int, row: int) -> int:
        """How many rows of its unit a window that ends at `row` reaches back to."""
        return min(row - int(self.history.begin_U[unit]), self._shape.window - 1)

    def _parts(self, number: int, stretch: Stretch) -> Iterator[_Part]:
        """A stretch's rows that one fold's members judge, as windows."""
        rows, length = stretch.rows, self._shape.window
        if len(stretch.values_MF) < length:
            return
        line = self._scaling.line(self.history.units[stretch.unit])
        x_MF = self._scaling.scaled(stretch.values_MF, line)
        views_BTF = sliding_window_view(x_MF, length, axis=0).transpose(0, 2, 1)
        n_before = len(x_MF) - (rows.stop - rows.start)
        fold_N = self._fold_N[rows].copy()
        # No whole window ends there.
        fold_N[: max(length - 1 - n_before, 0)] = NO_FOLD
        first = n_before - length + 1
        for begin, end in _same(fold_N):
            if fold_N[begin] != NO_FOLD:
                views = views_BTF[first + begin : first + end]
                yield _Part(number, begin, int(fold_N[begin]), views)

    def _measures(self, fold: int, parts: Sequence[_Part]) -> Iterator[FloatArray]:
        """In launches of bounded size, across parts."""
        members = self._members[fold]
        n_values = len(members) * self._shape.window * self._shape.n_sensors
        n_windows = max(1, MAX_VALUES_PER_LAUNCH[self._device.type] // n_values)
        pieces = (
            part.views_BTF[begin : begin + n_windows]
            for part in parts
            for begin in range(0, len(part.views_BTF), n_windows)
        )
        waiting: list[FloatArray] = []
        for piece in pieces:
            if sum(map(len, waiting)) + len(piece) > n_windows:
                yield self._measured(members, waiting)
                waiting = []
            waiting.append(piece)
        yield self._measured(members, waiting)

    def _measured(
        self, members: Sequence[Network], views: Sequence[FloatArray]
    ) -> FloatArray:
        x_BTF = np.concatenate(views)
        x = torch.from_numpy(x_BTF).to(self._device)
        inputs = filled(x) if np.isnan(x_BTF).any() else (x, None)
        return self._scoring.measure(members, *inputs).measure_BC.cpu().numpy()


def by_faults(judge: HeldOutJudge, probes: Probes) -> Criterion:
    """How well scores rank readings in injected faults above those before them.

    The mean over the kinds of faults of the average precision, which each kind's probes
    have together.
    """
    labels: dict[str, list[BoolArray]] = {}
    scores: dict[str, list[FloatArray]] = {}
    for begin in range(0, len(probes.probes), N_TOGETHER):
        together = probes.probes[begin : begin + N_TOGETHER]
        found = judge.scores([_faulty(judge, probes, probe) for probe in together])
        for probe, score_N in zip(together, found, strict=True):
            # Scores of several readings stay high for a while behind a fault: as they must.
            judged = slice(probes.n_lead, probe.fault.begin + probe.fault.length)
            scores.setdefault(probe.fault.kind, []).append(score_N[judged])
            labels.setdefault(probe.fault.kind, []).append(probes.labels(probe)[judged])
    parts = {
        kind: average_precision(
            np.concatenate(labels[kind]), np.concatenate(scores[kind]).astype(np.float64)
        )
        for kind in labels
    }
    return Criterion(float(np.mean(list(parts.values()))), parts)


def _faulty(judge: HeldOutJudge, probes: Probes, probe: Probe) -> Stretch:
    history = judge.history
    rows = slice(probe.begin, probe.begin + probes.length)
    n_before = judge.rows_before(probe.unit, rows.start)
    values_MF = history.values_NF[rows.start - n_before : rows.stop].copy()
    sensor = probes.sensors[probe.fault.sensor]
    # A fault of a sensor that these settings leave out is one that they cannot find.
    if sensor in history.sensors:
        probes.inject(probe, n_before, values_MF, history.sensors.index(sensor))
    return Stretch(probe.unit, rows, values_MF)


def by_labels(judge: HeldOutJudge, runs: IntArray) -> Criterion:
    """How well scores rank labelled readings above others: average precision.

    The mean over the units that have labels.

    Args:
        judge: of a history with labels.
        runs: unit, first and last row (not included) of each stretch, shape (n, 3).
    """
    history = judge.history
    by_unit: dict[int, list[tuple[BoolArray, FloatArray]]] = {}
    for unit, begin, end in runs.tolist():
        n_before = judge.rows_before(unit, begin)
        values_MF = history.values_NF[begin - n_before : end]
        (score_N,) = judge.scores([Stretch(unit, slice(begin, end), values_MF)])
        by_unit.setdefault(unit, []).append((history.label_N[begin:end], score_N))
    parts = {}
    for unit, pieces in by_unit.items():
        label_N, score_N = map(np.concatenate, zip(*pieces, strict=True))
        precision = average_precision(label_N, score_N.astype(np.float64))
        if not math.isnan(precision):
            parts[history.units[unit]] = precision
    return Criterion(float(np.mean(list(parts.values()))), parts)


def _same(fold_N: IntArray) -> list[tuple[int, int]]:
    """Begin and end of each run of equal values."""
    edges = np.flatnonzero(np.diff(fold_N)) + 1
    bounds = [0, *edges.tolist(), len(fold_N)]
    return list(pairwise(bounds))
