"""What the report page shows, gathered from a detector, a table and its alerts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.alert_log import AlertLog, Incident
from pipeline.detector.artifact import LoadedDetector
from pipeline.errors import InputError
from pipeline.events import Comparison, Match, Span, compare
from pipeline.offline import check_sensors
from pipeline.records import FloatArray
from pipeline.score import Scorer
from pipeline.table import Table
from trainer.history import Recording, shortened
from trainer.portrait import Portrait, PortraitBuilder
from trainer.quality import Quality, QualityTally
from trainer.review import Curves, EventReview, Reviewer, UnitReview

MAX_UNITS = 6
"""Units with pictures of their own: those with the most events, then incidents."""
MAX_ZOOMS = 12
"""Events with pictures of their own."""
DAY_S = 86_400.0


class Zoom(NamedTuple):
    """One event from near, or one incident where nothing is labelled."""

    unit: str
    begin_s: float
    end_s: float
    event: Match | None
    incident: Incident | None
    curves: Curves
    share_F: FloatArray
    """Each sensor's part in its scores."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page shows."""

    loaded: LoadedDetector
    source: str
    """The table's file name."""
    is_labelled: bool
    n_units: int
    n_readings: int
    n_scored: int
    first_s: float
    last_s: float
    step_s: float
    """Usual time from reading to reading, the median over units."""
    unit_days: float
    """How long what was scored and is not labelled was watched, summed over units."""
    units: list[UnitReview]
    """Those with pictures, in the table's order."""
    events: list[tuple[Match, EventReview]]
    """Of all units."""
    incidents: list[Incident]
    """Of all units, in the order they opened."""
    comparison: Comparison
    zooms: list[Zoom]
    portrait: Portrait
    quality: Quality
    """Of no meaning without labels."""
    notes: list[str]
    """What was left out and why, in words."""


@dataclass(slots=True)
class _Tally:
    """What is kept of the units as they are reviewed, one after the other."""

    events: list[tuple[Match, EventReview]] = field(default_factory=list)
    false_alarms: list[Span] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    n_scored: int = 0
    watched_s: float = 0.0
    n_too_short: int = 0
    """Units that have no score."""
    step_s_U: list[float] = field(default_factory=list)
    shown: list[tuple[int, UnitReview]] = field(default_factory=list)
    """The `MAX_UNITS` with the most events, then incidents; of equals the earlier."""

    def add(self, number: int, unit: UnitReview) -> None:
        spans = [incident.span for incident in unit.incidents]
        compared = compare([event.span for event in unit.events], spans)
        self.events += zip(compared.matches, unit.events, strict=True)
        self.false_alarms += compared.false_alarms
        self.incidents += unit.incidents
        self.n_scored += unit.n_scored
        self.watched_s += unit.watched_s
        self.n_too_short += unit.n_scored == 0
        self.step_s_U.append(unit.step_s)
        self.shown.append((number, unit))
        self.shown.sort(key=lambda u: (-len(u[1].events), -len(u[1].incidents), u[0]))
        del self.shown[MAX_UNITS:]


def review(
    path: Path,
    table: Table,
    loaded: LoadedDetector,
    scorer: Scorer,
    alerts: AlertLog | None = None,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Report:
    """Put a table through a detector and gather what the page shows.

    Each unit is scored once, and once more where an event is looked at from near. Curves
    are kept only of the units that get pictures.

    Args:
        path: the table's file, for messages.
        table: readings, with or without labels.
        loaded: the detector.
        scorer: the same detector's, on its device.
        alerts: what the worker told of; None computes incidents by the worker's rule.
        on_progress: told the share of readings that are done, 0 to 1.

    Raises:
        InputError: sensors of the detector are missing, or every unit is too short.
    """
    check_sensors(loaded, table, path)
    of_detector = [table.sensors.index(sensor) for sensor in loaded.detector.sensors]
    if np.isnan(table.values_NF[:, of_detector]).all():
        raise InputError(f"{path}: none of the detector's sensors has a value in any row")
    recording = Recording(table, loaded.detector.sensors)
    n_late = len(table) - len(recording)
    late = (
        f"{n_late:,} row{' was' if n_late == 1 else 's were'} left out: older than one of "
        "the same unit before in the file"
    )
    if recording.longest() < loaded.detector.window:
        raise InputError(
            f"{path}: expected at least {loaded.detector.window} readings of a unit (one "
            f"window), the longest has {recording.longest()}{f'; {late}' if n_late else ''}"
        )
    told = None if alerts is None else _by_unit(alerts.incidents())
    portrait, quality = PortraitBuilder(loaded), QualityTally()
    reviewer = Reviewer(loaded, scorer, portrait, quality)
    tally = _Tally()
    n_done = 0
    for number, unit in enumerate(table.units):
        readings = recording.unit(number)
        unit_told = None if told is None else told.get(unit, [])
        tally.add(number, reviewer.review(readings, unit_told))
        n_done += len(readings)
        on_progress(n_done / len(recording))
    tally.incidents.sort(key=lambda i: (i.span.begin_s, i.span.unit))
    zooms = list(_zooms(tally, recording, reviewer))
    return Report(
        loaded=loaded,
        source=path.name,
        is_labelled=table.label_N is not None,
        n_units=len(table.units),
        n_readings=len(table),
        n_scored=tally.n_scored,
        first_s=float(table.time_s_N.min()),
        last_s=float(table.time_s_N.max()),
        step_s=float(np.median(tally.step_s_U)),
        unit_days=tally.watched_s / DAY_S,
        units=[unit for _, unit in sorted(tally.shown, key=lambda each: each[0])],
        events=tally.events,
        incidents=tally.incidents,
        comparison=Comparison([match for match, _ in tally.events], tally.false_alarms),
        zooms=zooms,
        portrait=portrait.portrait(),
        quality=quality.quality(),
        notes=[
            *shortened(table.notes),
            *([f"{late}."] if n_late else []),
            *_left_out(tally, zooms, loaded.detector.window, alerts),
        ],
    )


def _zooms(tally: _Tally, recording: Recording, reviewer: Reviewer) -> Iterator[Zoom]:
    """The first events of the units with pictures; without any, the highest incidents."""
    readings_of = {unit.unit: recording.unit(number) for number, unit in tally.shown}
    events = [pair for pair in tally.events if pair[0].event.unit in readings_of]
    for match, seen in events[:MAX_ZOOMS]:
        readings = readings_of[seen.span.unit]
        curves, share_F = reviewer.zoom(readings, seen.first, seen.last)
        yield Zoom(*seen.span, match, None, curves, share_F)
    if tally.events:
        return
    highest = sorted(tally.incidents, key=lambda i: -i.peak.peak_score)
    highest = [i for i in highest if i.span.unit in readings_of][:MAX_ZOOMS]
    for incident in sorted(highest, key=lambda i: i.span.begin_s):
        readings = readings_of[incident.span.unit]
        span = (incident.span.begin_s, incident.span.end_s)
        first, last = np.searchsorted(readings.time_s_N, span, side="left").tolist()
        first = min(first, len(readings) - 1)
        last = min(max(last + 1, first + 1), len(readings))
        curves, share_F = reviewer.zoom(readings, first, last)
        yield Zoom(*incident.span, None, incident, curves, share_F)


def _by_unit(incidents: list[Incident]) -> dict[str, list[Incident]]:
    by_unit: dict[str, list[Incident]] = {}
    for incident in incidents:
        by_unit.setdefault(incident.span.unit, []).append(incident)
    return by_unit


def _left_out(
    tally: _Tally, zooms: list[Zoom], window: int, alerts: AlertLog | None
) -> Iterator[str]:
    n_units = len(tally.step_s_U)
    if n_units > len(tally.shown):
        yield (
            f"Pictures are of {len(tally.shown)} of {n_units:,} units: those with "
            "the most events, then incidents. The counts and tables are of all."
        )
    if tally.n_too_short:
        yield (
            f"{tally.n_too_short:,} units have no score: they have fewer readings than a "
            f"window of {window}."
        )
    n_wanted = len(tally.events) or len(tally.incidents)
    if n_wanted > len(zooms):
        what = "labelled events" if tally.events else "incidents"
        yield f"{len(zooms)} of {n_wanted:,} {what} are shown from near."
    if alerts is None:
        return
    if alerts.n_other:
        yield f"{alerts.n_other:,} alerts of other detectors were left out."
    n_outside = len(alerts.incidents()) - len(tally.incidents)
    if n_outside:
        yield f"{n_outside:,} incidents outside the data's units and times were left out."
