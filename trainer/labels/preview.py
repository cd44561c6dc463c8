"""What labels change, seen on the history itself before a detector is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipeline.detector.detector import Detector
from pipeline.records import BoolArray, FloatArray, IntArray
from pipeline.score import Scorer, choose_device
from pipeline.trigger import IncidentRule, UnitState, transitions
from pipeline.window import Windows
from trainer.history import History
from trainer.ranking import runs

CHUNK_WINDOWS = 65_536
"""Of a unit, scored at a time."""


class Judge(NamedTuple):
    """A detector, and when its scores become an incident."""

    detector: Detector
    rule: IncidentRule


@dataclass(slots=True)
class Preview:
    """Incidents of a history by two detectors. Counts."""

    n_before: int = 0
    """Incidents of the one before."""
    n_after: int = 0
    n_silenced: int = 0
    """Of those before, where the new one has none."""
    n_silenced_confirmed: int = 0
    """Of these, where something is labelled as anomalous."""
    n_found: int = 0
    """Labelled stretches without an incident before that have one now."""
    n_lost: int = 0
    """Labelled stretches with an incident before that have none now."""
    n_raised: int = 0
    """New incidents where there was none and nothing is labelled."""

    def line(self, before: str) -> str:
        """One sentence.

        Args:
            before: what the detector before is called.
        """
        return (
            f"against {before}: silences {self.n_silenced:,} of {self.n_before:,} past "
            f"incidents, {self.n_silenced_confirmed:,} of them confirmed; finds "
            f"{self.n_found:,} that were missed, loses {self.n_lost:,}; raises "
            f"{self.n_raised:,} where nothing is labelled"
        )


def preview(history: History, before: Judge, after: Judge) -> Preview:
    """Put a history through two detectors.

    Both have seen most of these readings in training, and the labels: of new readings it
    says what may change, not how often.

    Args:
        history: with labels that were learned from.
        before: the detector so far, or one that knows no labels. Of the same sensors.
        after: the new one.
    """
    result = Preview()
    known_N = history.anomalous_N
    anomalous_N = np.zeros(len(history), dtype=np.bool_) if known_N is None else known_N
    old, new = (_Follower(judge, history) for judge in (before, after))
    for first, behind in _series(history):
        old_N = old.is_open(first, behind)
        new_N = new.is_open(first, behind)
        label_N = anomalous_N[first:behind]
        _count(result, old_N, new_N, label_N)
    return result


def _count(result: Preview, old_N: BoolArray, new_N: BoolArray, label_N: BoolArray) -> None:
    old, new, labelled = runs(old_N), runs(new_N), runs(label_N)
    result.n_before += len(old)
    result.n_after += len(new)
    is_silenced = ~_touched(old, new_N)
    result.n_silenced += int(is_silenced.sum())
    result.n_silenced_confirmed += int((is_silenced & _touched(old, label_N)).sum())
    had, has = _touched(labelled, old_N), _touched(labelled, new_N)
    result.n_found += int((has & ~had).sum())
    result.n_lost += int((had & ~has).sum())
    result.n_raised += int((~_touched(new, old_N) & ~_touched(new, label_N)).sum())


def _touched(spans: IntArray, flag_N: BoolArray) -> BoolArray:
    """Which spans, both ends included, have a reading of the flag in them."""
    n_before = np.concatenate([[0], np.cumsum(flag_N)])
    return np.asarray(n_before[spans[:, 1] + 1] > n_before[spans[:, 0]])


def _series(history: History) -> Iterator[tuple[int, int]]:
    """First and behind of each stretch of a unit in which readings follow on each other."""
    bounds = np.unique(np.concatenate([history.begin_U, history.joint_J])).tolist()
    yield from pairwise(bounds)


class _Follower:
    """Follows a history's incidents by one detector."""

    def __init__(self, judge: Judge, history: History) -> None:
        self._judge = judge
        self._history = history
        position = {name: column for column, name in enumerate(history.sensors)}
        self._columns_F: Sequence[int] = [position[name] for name in judge.detector.sensors]
        self._scorer = Scorer(judge.detector, choose_device("cpu"))

    def is_open(self, first: int, behind: int) -> BoolArray:
        """Which readings of this stretch are within an incident."""
        detector, history = self._judge.detector, self._history
        is_open_N = np.zeros(behind - first, dtype=np.bool_)
        unit = int(np.searchsorted(history.begin_U, first, side="right")) - 1
        opened: int | None = None
        for index, opens in transitions(
            self._scores(first, behind, history.units[unit]), self._judge.rule, UnitState()
        ):
            at = index + detector.window - 1
            if opens:
                opened = at
            elif opened is not None:
                is_open_N[opened:at] = True
                opened = None
        if opened is not None:
            is_open_N[opened:] = True
        return is_open_N

    def _scores(self, first: int, behind: int, unit: str) -> FloatArray:
        length = self._judge.detector.window
        n_windows = max(behind - first - length + 1, 0)
        self._scorer.forget_all()
        parts = [np.empty(0, dtype=np.float32)]
        for begin in range(0, n_windows, CHUNK_WINDOWS):
            n = min(CHUNK_WINDOWS, n_windows - begin)
            rows = slice(first + begin, first + begin + n + length - 1)
            values_NF = np.ascontiguousarray(
                self._history.values_NF[rows][:, self._columns_F]
            )
            windows = Windows(values_NF, np.arange(n), length)
            row_B = np.zeros(n, dtype=np.int64)
            parts.append(self._scorer.score(windows, row_B, [unit]).score_B)
        return np.concatenate(parts)
