"""Incidents against labelled events: which were found, when, and what was false."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.records import TimeArray

MAX_USUAL_STEPS = 5.0
"""Of a longer pause between two readings only so many usual steps count as watched."""


class Span(NamedTuple):
    """A stretch of time, both ends included. Seconds since the epoch."""

    unit: str
    begin_s: float
    end_s: float
    """`math.inf` for an incident that is still open."""


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one labelled event."""

    event: Span
    delay_s: float | None
    """From its begin to the first incident's opening, 0 if one was open already; None if
    it was missed."""
    incident: Span | None = None
    """The first incident that overlaps it."""

    @property
    def found(self) -> bool:
        """Whether an incident was open at any time during the event."""
        return self.delay_s is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it."""

    matches: list[Match]
    """One per labelled event, in their order."""
    false_alarms: list[Span]
    """Incidents that overlap no event."""

    @property
    def n_found(self) -> int:
        """Labelled events found."""
        return sum(match.found for match in self.matches)

    @property
    def median_delay_s(self) -> float:
        """Over the events found; NaN if none was."""
        delays_s = [m.delay_s for m in self.matches if m.delay_s is not None]
        return float(np.median(delays_s)) if delays_s else math.nan


def labelled_events(
    unit: str, time_s_N: TimeArray, label_N: npt.NDArray[np.bool_]
) -> list[Span]:
    """Each run of labelled readings of one unit, whose readings are in order of time."""
    edges = np.flatnonzero(np.diff(label_N.astype(np.int8), prepend=0, append=0))
    return [
        Span(unit, float(time_s_N[begin]), float(time_s_N[end - 1]))
        for begin, end in edges.reshape(-1, 2).tolist()
    ]


def compare(events: Sequence[Span], incidents: Sequence[Span]) -> Comparison:
    """Match labelled events with incidents of the same unit.

    An event is found if an incident was open at any time from its begin to its end; an
    incident that overlaps no event is a false alarm.
    """
    matches = []
    for event in events:
        hits = [i for i in incidents if overlap(event, i)]
        first = min(hits, key=lambda incident: incident.begin_s, default=None)
        delay_s = None if first is None else max(0.0, first.begin_s - event.begin_s)
        matches.append(Match(event, delay_s, first))
    false_alarms = [i for i in incidents if not any(overlap(e, i) for e in events)]
    return Comparison(matches, false_alarms)


def overlap(event: Span, incident: Span) -> bool:
    """Whether they are of one unit and share a moment."""
    return (
        event.unit == incident.unit
        and incident.begin_s <= event.end_s
        and incident.end_s >= event.begin_s
    )


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans of a unit that share a moment, as one; by unit, and each unit's in order."""
    whole: list[Span] = []
    for span in sorted(spans):
        if whole and overlap(whole[-1], span):
            end_s = max(whole[-1].end_s, span.end_s)
            whole[-1] = whole[-1]._replace(end_s=end_s)
        else:
            whole.append(span)
    return whole


def usual_step_s(time_s_N: TimeArray) -> float:
    """Median time between two readings that differ in it; 0.0 if there are none.

    Args:
        time_s_N: times of one unit's readings, in order; several may be the same.
    """
    step_s = np.diff(time_s_N)
    step_s = step_s[step_s > 0]
    return float(np.median(step_s)) if len(step_s) else 0.0


def watched_s(time_s_N: TimeArray) -> float:
    """How long a unit was watched, in seconds: from reading to reading, without the gaps.

    Args:
        time_s_N: times of one unit's readings, in order; several may be the same.
    """
    longest_s = MAX_USUAL_STEPS * usual_step_s(time_s_N)
    return float(np.minimum(np.diff(time_s_N), longest_s).sum())


def summary_lines(
    comparison: Comparison, promised_per_day: float, unit_days: float
) -> list[str]:
    """What a comparison comes to, in words: a verdict, and the rate of false alarms.

    Args:
        comparison: incidents against labelled events.
        promised_per_day: false alarms per unit and day that the detector expects.
        unit_days: how long what is not labelled was watched, summed over units; 0 if
            unknown.
    """
    n_events, n_false = len(comparison.matches), len(comparison.false_alarms)
    verdict = f"{comparison.n_found} of {n_events} labelled events found"
    verdict += f", {n_events - comparison.n_found} missed"
    if n_events == 0:
        verdict = "no labelled events"
    verdict += f", {n_false} false alarm{'' if n_false == 1 else 's'}"
    if comparison.n_found:
        verdict += f", median delay {duration_text(comparison.median_delay_s)}"
    rate = f"false alarms per unit and day: {promised_per_day:.2g} promised, "
    if unit_days > 0:
        rate += f"{n_false / unit_days:.2g} observed in {unit_days:.3g} unit-days"
    else:
        rate += "observed unknown: the readings' times do not advance"
    return [verdict, rate]


def duration_text(seconds: float) -> str:
    """A duration as people say it: `45 s`, `55 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds % 1 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
