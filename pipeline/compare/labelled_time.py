"""How much of the time that units were watched lies within labelled events."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipeline.events import Span
from pipeline.records import IntArray, TimeArray
from pipeline.times import END_OF_CALENDAR_S
from pipeline.window import Arrived


class LabelledTime:
    """Owns when the units that have events were read."""

    def __init__(self, events: Sequence[Span]) -> None:
        """Args:
        events: of a unit in the order of time, and apart, see `pipeline.events.joined`.
        """
        by_unit: defaultdict[str, list[Span]] = defaultdict(list)
        for event in events:
            by_unit[event.unit].append(event)
        self._units = [_Unit(unit, spans) for unit, spans in by_unit.items()]
        self._number_of = {unit: number for number, unit in enumerate(by_unit)}
        self._number_U: IntArray = np.empty(0, dtype=np.int64)

    @property
    def read(self) -> dict[str, Span]:
        """Of each unit with events that was read: from its first reading to its last."""
        spans = (unit.read for unit in self._units)
        return {span.unit: span for span in spans if span is not None}

    def add(
        self,
        arrived: Arrived,
        time_s_N: TimeArray,
        watched_s_N: TimeArray,
        units: Sequence[str],
    ) -> float:
        """Take one poll's readings; return how long they were watched within events.

        Args:
            arrived: N readings.
            time_s_N: when each was measured, seconds since the epoch.
            watched_s_N: how long, since the one before it of its unit.
            units: the unit of each row.

        Returns:
            Seconds, summed over units. Of a step that an event covers in part, that part.
        """
        if not self._units:
            return 0.0
        new = [self._number_of.get(unit, -1) for unit in units[len(self._number_U) :]]
        self._number_U = np.concatenate([self._number_U, np.array(new, dtype=np.int64)])
        number_G = self._number_U[arrived.row_G]
        end_G = np.cumsum(arrived.n_G)
        seconds = 0.0
        for group in np.flatnonzero(number_G >= 0).tolist():
            at = slice(end_G[group] - arrived.n_G[group], end_G[group])
            seconds += self._units[number_G[group]].add(
                time_s_N[at], arrived.step_s_N[at], watched_s_N[at]
            )
        return seconds


class _Unit:
    """Owns when one unit was read, and its events."""

    def __init__(self, unit: str, events: Sequence[Span]) -> None:
        self._name = unit
        edge_s_E2 = np.array([(event.begin_s, event.end_s) for event in events])
        # An event may have no end; a sum of lengths must.
        self._edge_s_K = np.clip(edge_s_E2, -END_OF_CALENDAR_S, END_OF_CALENDAR_S).ravel()
        length_s_K = np.diff(self._edge_s_K, prepend=self._edge_s_K[0])
        length_s_K[::2] = 0.0
        self._before_s_K = np.cumsum(length_s_K)
        self._first_s, self._last_s = math.inf, -math.inf

    @property
    def read(self) -> Span | None:
        """From its first reading to its last; None before the first."""
        if self._last_s < self._first_s:
            return None
        return Span(self._name, self._first_s, self._last_s)

    def add(
        self, time_s_N: TimeArray, step_s_N: TimeArray, watched_s_N: TimeArray
    ) -> float:
        """Take readings, in the order of time; return how long of them is labelled."""
        self._first_s = min(self._first_s, float(time_s_N[0]))
        self._last_s = max(self._last_s, float(time_s_N[-1]))
        at = np.flatnonzero(watched_s_N > 0)
        time_s_N, step_s_N = time_s_N[at], step_s_N[at]
        labelled_s_N = self._labelled_until(time_s_N)
        labelled_s_N -= self._labelled_until(time_s_N - step_s_N)
        return float((watched_s_N[at] * (labelled_s_N / step_s_N)).sum())

    def _labelled_until(self, time_s_N: TimeArray) -> TimeArray:
        """Seconds, of all events, that lie before each time."""
        return np.asarray(np.interp(time_s_N, self._edge_s_K, self._before_s_K))
