"""Scores to incidents: opened, updated and closed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.records import (
    NOWHERE,
    BoolArray,
    FloatArray,
    IntArray,
    Partition,
    Readings,
    Scores,
    group_starts,
)
from pipeline.trail import extended, n_to_add
from pipeline.trigger import IncidentRule, UnitState, observe, transitions
from pipeline.window import LiveWindows

State = Literal["opened", "updated", "closed"]

CRITICAL_SCORE = 2.0
"""From this peak on an incident is `critical`, below it a `warning`."""
UPDATE_FACTOR = 1.5
"""An open incident is told of again once its peak has grown by this factor, or has become
critical. The number of updates is then bounded by the logarithm of the peak."""


Reopens: TypeAlias = Callable[[Partition, str, float], bool]
"""Whether an incident is open that this unit's reading at this time has opened."""


class Explanation(NamedTuple):
    """Why a window scored as it did: one row of `Scores`."""

    contribution_F: FloatArray
    observed_F: FloatArray
    expected_F: FloatArray
    latent_L: FloatArray


class Event(NamedTuple):
    """A change of an incident that consumers are told of."""

    state: State
    unit: str
    opened_at_s: float
    time_s: float
    """Of the reading that caused this event. Seconds since the epoch."""
    score: float
    peak_score: float
    explanation: Explanation
    """Of the window with the peak so far."""
    partition: Partition
    first_offset: int
    """Of the oldest reading of the window that caused this event."""
    last_offset: int
    opened_by: str = ""
    """See `OpenIncident`."""


@dataclass(slots=True)
class OpenIncident:
    """What is remembered of an incident from its opening to its closing."""

    opened_at_s: float
    peak_score: float
    told_score: float
    """The peak when it was last told."""
    explanation: Explanation
    replay_from: int
    """The offset from which on its unit's readings bring it about again."""
    is_restored: bool = False
    """Opened by whoever had the partition before."""
    opened_by: str = ""
    """The digest of the detector that opened it, where that is another one: then its
    readings do not bring it about again."""


class Decisions(NamedTuple):
    """One poll's outcome."""

    events: list[Event]
    """In the order of each unit's readings."""
    is_open_B: BoolArray
    """Whether the unit of each window is in an incident once that window is seen."""


class IncidentTracker:
    """Follows every unit's scores. Owns who is open, and each unit's last n decisions."""

    def __init__(self, rule: IncidentRule) -> None:
        self._rule = rule
        self._open: dict[int, OpenIncident] = {}
        self._over_bits_U = np.empty(0, dtype=np.uint64)
        self._n_below_U: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._is_open_U = np.empty(0, dtype=np.bool_)

    @property
    def n_open(self) -> int:
        """Incidents that are open now."""
        return len(self._open)

    def update(
        self,
        readings: Readings,
        windows: LiveWindows,
        scores: Scores,
        reach_U: IntArray,
        reopens: Reopens | None = None,
    ) -> Decisions:
        """Take one poll's scores and return what changed.

        Python runs only for the units that are above the threshold, were so within their
        last n scores, or are in an incident.

        Args:
            readings: the poll's.
            windows: those that they completed.
            scores: of these windows.
            reach_U: see `Reach`; a row for each that was given out.
            reopens: all of it was decided before. Incidents that were restored stay as
                they are, and no other is opened than those that this says are open.
        """
        self._grow(len(reach_U))
        over_B = scores.score_B >= 1.0
        is_open_B = np.zeros(len(over_B), dtype=np.bool_)
        events: list[Event] = []
        first_G = group_starts(windows.row_B)
        if len(first_G) == 0:
            return Decisions(events, is_open_B)
        row_G = windows.row_B[first_G]
        is_active_G = np.logical_or.reduceat(over_B, first_G)
        is_active_G |= self._over_bits_U[row_G] != 0
        is_active_G |= self._is_open_U[row_G]
        end_G = np.append(first_G[1:], len(over_B))
        poll = _Poll(readings, windows, scores, reach_U, reopens)
        for group in np.flatnonzero(is_active_G).tolist():
            span = slice(int(first_G[group]), int(end_G[group]))
            for first, last in self._follow(poll, span, events):
                is_open_B[first:last] = True
        return Decisions(events, is_open_B)

    def open_incidents(self) -> Mapping[int, OpenIncident]:
        """What is open now, by row. Not to be changed."""
        return self._open

    def restore(self, row: int, incident: OpenIncident, n_rows: int) -> None:
        """Take over an incident that is open in the unit of this row."""
        self._grow(n_rows)
        self._open[row] = incident
        self._is_open_U[row] = True

    def forget_scores(self, rows: IntArray) -> None:
        """Forget the last scores of these rows. What is open stays open."""
        rows = rows[rows < len(self._over_bits_U)]
        self._over_bits_U[rows] = 0
        self._n_below_U[rows] = 0

    def leave_behind(self, rows: IntArray) -> None:
        """Have no one read back to what opened the incidents of these rows."""
        for row in rows.tolist():
            if row in self._open:
                self._open[row].replay_from = NOWHERE

    def forget(self, rows: IntArray) -> None:
        """Clear these rows. What is open in them is neither closed nor told of."""
        self.forget_scores(rows)
        self._is_open_U[rows[rows < len(self._is_open_U)]] = False
        for row in rows.tolist():
            self._open.pop(row, None)

    def _follow(
        self, poll: "_Poll", span: slice, events: list[Event]
    ) -> list[tuple[int, int]]:
        """Follow one unit through its windows in `span`, appending to `events`.

        Returns:
            The ranges of windows in which it was in an incident.
        """
        row = int(poll.windows.row_B[span.start])
        state = UnitState(
            over_bits=int(self._over_bits_U[row]),
            n_below=int(self._n_below_U[row]),
            is_open=row in self._open,
        )
        score_S = poll.scores.score_B[span]
        if poll.reopens is not None and state.is_open and self._open[row].is_restored:
            observe(score_S, self._rule, state)
            self._keep(row, state)
            return [(span.start, span.stop)]
        # Of the incident that is open, where there is one.
        begin = untold = span.start
        ranges: list[tuple[int, int]] = []
        for index, opens in transitions(score_S, self._rule, state):
            b = span.start + index
            if opens and not poll.may_open(b):
                state.is_open = False
            elif opens:
                self._open[row] = poll.opened(b)
                events.append(poll.event("opened", b, self._open[row]))
                begin, untold = b, b + 1
            else:
                incident = self._open.pop(row)
                events += _growth(poll, slice(untold, b), incident)
                events.append(poll.event("closed", b, incident))
                ranges.append((begin, b))
        if state.is_open:
            events += _growth(poll, slice(untold, span.stop), self._open[row])
            ranges.append((begin, span.stop))
        self._keep(row, state)
        return ranges

    def _keep(self, row: int, state: UnitState) -> None:
        self._over_bits_U[row] = state.over_bits
        self._n_below_U[row] = state.n_below
        self._is_open_U[row] = state.is_open

    def _grow(self, n_rows: int) -> None:
        n_new = n_to_add(len(self._n_below_U), n_rows)
        if n_new:
            self._over_bits_U = extended(self._over_bits_U, n_new, 0)
            self._n_below_U = extended(self._n_below_U, n_new, 0)
            self._is_open_U = extended(self._is_open_U, n_new, False)


class _Poll(NamedTuple):
    """One poll's windows with what is known of them."""

    readings: Readings
    windows: LiveWindows
    scores: Scores
    reach_U: IntArray
    reopens: Reopens | None

    def may_open(self, b: int) -> bool:
        if self.reopens is None:
            return True
        reading = self.windows.reading_B[b]
        return self.reopens(
            self.readings.partitions[self.readings.partition_N[reading]],
            self.readings.units[reading],
            float(self.readings.time_s_N[reading]),
        )

    def opened(self, b: int) -> OpenIncident:
        reading = self.windows.reading_B[b]
        score = float(self.scores.score_B[b])
        return OpenIncident(
            opened_at_s=float(self.readings.time_s_N[reading]),
            peak_score=score,
            told_score=score,
            explanation=self.explanation(b),
            replay_from=int(self.reach_U[self.windows.row_B[b]]),
        )

    def explanation(self, b: int) -> Explanation:
        # Copies: an open incident must not keep the whole poll's arrays alive.
        return Explanation(
            self.scores.contribution_BF[b].copy(),
            self.scores.observed_BF[b].copy(),
            self.scores.expected_BF[b].copy(),
            self.scores.latent_BL[b].copy(),
        )

    def event(self, state: State, b: int, incident: OpenIncident) -> Event:
        reading = self.windows.reading_B[b]
        return Event(
            state=state,
            unit=self.readings.units[reading],
            opened_at_s=incident.opened_at_s,
            time_s=float(self.readings.time_s_N[reading]),
            score=float(self.scores.score_B[b]),
            peak_score=incident.peak_score,
            explanation=incident.explanation,
            partition=self.readings.partitions[self.readings.partition_N[reading]],
            first_offset=int(self.windows.first_offset_B[b]),
            last_offset=int(self.readings.offset_N[reading]),
            opened_by=incident.opened_by,
        )


def _growth(poll: _Poll, span: slice, incident: OpenIncident) -> list[Event]:
    """Follow an open incident's peak through `span`, and tell of it where it has grown."""
    score_S = poll.scores.score_B[span]
    events: list[Event] = []
    n_seen = 0
    while (is_news_S := score_S[n_seen:] >= _next_told(incident.told_score)).any():
        n_seen += int(np.argmax(is_news_S))
        b = span.start + n_seen
        incident.peak_score = incident.told_score = float(score_S[n_seen])
        incident.explanation = poll.explanation(b)
        events.append(poll.event("updated", b, incident))
        n_seen += 1
    rest_S = score_S[n_seen:]
    if len(rest_S) and rest_S.max() > incident.peak_score:
        b = span.start + n_seen + int(np.argmax(rest_S))
        incident.peak_score = float(rest_S.max())
        incident.explanation = poll.explanation(b)
    return events


def _next_told(told_score: float) -> float:
    grown = told_score * UPDATE_FACTOR
    return min(grown, CRITICAL_SCORE) if told_score < CRITICAL_SCORE else grown
