"""Labelled stretches of a history: their windows, and which member sees which of them."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.records import BoolArray, FloatArray, IntArray
from pipeline.window import Windows
from trainer.history import History
from trainer.ranking import runs

MAX_EVENTS = 64
"""Of a kind that are learned from, those with the most readings."""
MAX_EVENT_WINDOWS = 256
"""Of an event, its first: what follows is more of the same."""
MEMORY = 7
"""Windows before an event whose residuals its first scores are made of."""


@dataclass(frozen=True, slots=True)
class Event:
    """Consecutive windows of one unit, the last of which end within a labelled stretch."""

    start_B: IntArray
    """Of the windows, each one reading after the one before."""
    n_before: int
    """Windows that end before the stretch: no labels, but what its scores depend on."""

    @property
    def labelled_B(self) -> IntArray:  # noqa: N802 - a shape suffix, as everywhere
        """The windows that end within the stretch."""
        return self.start_B[self.n_before :]


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of a history: E events that are anomalous, and some that are not."""

    values_NF: FloatArray
    """The history's readings, scaled."""
    length: int
    anomalous: tuple[Event, ...]
    """True alarms and labelled rows."""
    silenced: tuple[Event, ...]
    """What looked anomalous and is not; its readings are normal ones."""

    def over(self, values_NF: FloatArray) -> "Labels":
        """The same over other values of the same rows."""
        return replace(self, values_NF=values_NF)

    def windows(self, event: Event) -> Windows:
        """All windows of an event."""
        return Windows(self.values_NF, event.start_B, self.length)

    def shown_to(self, member: int, n_members: int) -> Windows | None:
        """The anomalous windows that a member is trained against; None if there is none.

        Every `n_members`-th event is kept from it, so that its residuals there are those
        of an event that it does not know. All see an event that is the only one, and a
        member that is the only one sees all.
        """
        shown = [
            event.labelled_B
            for number, event in enumerate(self.anomalous)
            if 1 in (len(self.anomalous), n_members) or number % n_members != member
        ]
        if not shown:
            return None
        return Windows(self.values_NF, np.concatenate(shown), self.length)


def find_labels(history: History, length: int) -> Labels | None:
    """The labelled events of a history; None where none holds a whole window.

    Args:
        history: with `anomalous_N` and `silenced_N`.
        length: T.
    """
    anomalous = _events(history, history.anomalous_N, length)
    silenced = _events(history, history.silenced_N, length)
    if not anomalous and not silenced:
        return None
    return Labels(history.values_NF, length, anomalous, silenced)


def _events(history: History, flag_N: BoolArray | None, length: int) -> tuple[Event, ...]:
    if flag_N is None or not flag_N.any():
        return ()
    first_N = _first_of_series(history)
    events = []
    for begin, end in runs(flag_N).tolist():
        # A run of labels may go on in the next unit.
        cuts = np.flatnonzero(np.diff(first_N[begin : end + 1])) + begin + 1
        for a, b in zip([begin, *cuts.tolist()], [*cuts.tolist(), end + 1], strict=True):
            first = int(first_N[a])
            newest = np.arange(max(a - MEMORY, first + length - 1), b)
            n_before = int((newest < a).sum())
            newest = newest[: n_before + MAX_EVENT_WINDOWS]
            if len(newest) > n_before:
                events.append(Event(newest - (length - 1), n_before))
    by_size = sorted(events, key=lambda event: -len(event.labelled_B))[:MAX_EVENTS]
    return tuple(sorted(by_size, key=lambda event: int(event.start_B[0])))


def _first_of_series(history: History) -> IntArray:
    """The first reading of each reading's unbroken series, shape (N,)."""
    is_first_N = np.zeros(len(history), dtype=np.bool_)
    is_first_N[history.begin_U[:-1]] = True
    is_first_N[history.joint_J] = True
    index_N = np.arange(len(history))
    return np.asarray(np.maximum.accumulate(np.where(is_first_N, index_N, 0)))
