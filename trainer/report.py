"""What the report page shows, gathered from a detector, a table and its alerts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.errors import InputError
from pipeline.events import Comparison, Match, compare
from pipeline.records import FloatArray, IntArray
from pipeline.score import Scorer
from pipeline.table import Table
from trainer.incidents import AlertLog, Incident
from trainer.review import Curves, EventReview, Reviewer, UnitReadings, UnitReview

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


@dataclass(slots=True)
class Report:
    """Everything the page shows. Filled in by `review`."""

    loaded: LoadedDetector
    source: str
    """The table's file name."""
    is_labelled: bool
    n_units: int
    n_readings: int
    first_s: float
    last_s: float
    n_too_short: int = 0
    """Units with fewer readings than a window: they have no score."""
    step_s: float = 0.0
    unit_days: float = 0.0
    """Length of what is not labelled, summed over units."""
    units: list[UnitReview] = field(default_factory=list)
    """Those with pictures, in the table's order."""
    events: list[tuple[Match, EventReview]] = field(default_factory=list)
    """Of all units."""
    incidents: list[Incident] = field(default_factory=list)
    """Of all units, in the order they opened."""
    comparison: Comparison = field(default_factory=lambda: Comparison([], []))
    zooms: list[Zoom] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out and why, in words."""


class Recording:
    """A table as the detector takes it: its sensors, a unit at a time, in time's order."""

    def __init__(self, path: Path, table: Table, sensors: tuple[str, ...]) -> None:
        missing = [name for name in sensors if name not in table.sensors]
        if missing:
            shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            raise InputError(
                f"{path}: {len(missing)} of the detector's {len(sensors)} sensors are "
                f"missing: {shown}; its columns are {', '.join(table.sensors[:10])}"
                f"{', ...' if len(table.sensors) > 10 else ''}"
            )
        self.table = table
        position = {name: column for column, name in enumerate(table.sensors)}
        self._columns_F = [position[name] for name in sensors]
        self._order_N: IntArray = np.lexsort((table.time_s_N, table.unit_N))
        self._begin_U = np.searchsorted(
            table.unit_N[self._order_N], np.arange(len(table.units) + 1)
        )

    def unit(self, number: int) -> UnitReadings:
        """The readings of the unit at this index of the table's.

        A view where the table has them in order, as a long table of one unit does.
        """
        order = self._order_N[self._begin_U[number] : self._begin_U[number + 1]]
        rows: IntArray | slice = order
        if len(order) and (np.diff(order) == 1).all():
            rows = slice(int(order[0]), int(order[-1]) + 1)
        values_NF = self.table.values_NF[rows]
        if self._columns_F != list(range(values_NF.shape[1])):
            values_NF = values_NF[:, self._columns_F]
        label_N = self.table.label_N
        return UnitReadings(
            unit=self.table.units[number],
            time_s_N=self.table.time_s_N[rows],
            values_NF=values_NF,
            label_N=(
                np.zeros(len(order), dtype=np.bool_) if label_N is None else label_N[rows]
            ),
        )

    def longest(self) -> int:
        """Readings of the unit that has the most."""
        return int(np.diff(self._begin_U).max())


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
    recording = Recording(path, table, loaded.detector.sensors)
    if recording.longest() < loaded.detector.window:
        raise InputError(
            f"{path}: expected at least {loaded.detector.window} readings of a unit (one "
            f"window), the longest has {recording.longest()}"
        )
    report = Report(
        loaded=loaded,
        source=path.name,
        is_labelled=table.label_N is not None,
        n_units=len(table.units),
        n_readings=len(table),
        first_s=float(table.time_s_N.min()),
        last_s=float(table.time_s_N.max()),
        notes=list(table.notes),
    )
    told = None if alerts is None else _by_unit(alerts.incidents())
    reviewer = Reviewer(loaded, scorer)
    shown: list[tuple[int, UnitReview]] = []
    steps_s: list[float] = []
    n_done = 0
    for number, unit in enumerate(table.units):
        readings = recording.unit(number)
        unit_told = None if told is None else told.get(unit, [])
        reviewed = reviewer.review(readings, unit_told)
        _count(report, reviewed)
        steps_s.append(reviewed.step_s)
        shown = _most_eventful([*shown, (number, reviewed)])
        n_done += len(readings)
        on_progress(n_done / len(table))
    report.step_s = float(np.median(steps_s))
    report.units = [reviewed for _, reviewed in sorted(shown, key=lambda each: each[0])]
    report.incidents.sort(key=lambda i: (i.span.begin_s, i.span.unit))
    report.zooms = list(_zooms(report, recording, reviewer))
    report.notes += _left_out(report, alerts)
    return report


def _count(report: Report, reviewed: UnitReview) -> None:
    spans = [incident.span for incident in reviewed.incidents]
    compared = compare([event.span for event in reviewed.events], spans)
    report.comparison.matches.extend(compared.matches)
    report.comparison.false_alarms.extend(compared.false_alarms)
    report.events += zip(compared.matches, reviewed.events, strict=True)
    report.incidents += reviewed.incidents
    report.unit_days += reviewed.n_unlabelled * reviewed.step_s / DAY_S
    report.n_too_short += reviewed.n_readings < report.loaded.detector.window


def _most_eventful(units: list[tuple[int, UnitReview]]) -> list[tuple[int, UnitReview]]:
    """The `MAX_UNITS` with the most events, then incidents; of equals the earlier."""
    units.sort(key=lambda u: (-len(u[1].events), -len(u[1].incidents), u[0]))
    return units[:MAX_UNITS]


def _zooms(report: Report, recording: Recording, reviewer: Reviewer) -> Iterator[Zoom]:
    """The first events of the units with pictures; without any, the highest incidents."""
    numbers = {unit: number for number, unit in enumerate(recording.table.units)}
    shown = {reviewed.unit for reviewed in report.units}
    events = [pair for pair in report.events if pair[0].event.unit in shown][:MAX_ZOOMS]
    for match, seen in events:
        readings = recording.unit(numbers[seen.span.unit])
        curves, share_F = reviewer.zoom(readings, seen.first, seen.last)
        yield Zoom(*seen.span, match, None, curves, share_F)
    if report.events:
        return
    highest = sorted(report.incidents, key=lambda i: -i.peak.peak_score)
    highest = [i for i in highest if i.span.unit in shown][:MAX_ZOOMS]
    for incident in sorted(highest, key=lambda i: i.span.begin_s):
        readings = recording.unit(numbers[incident.span.unit])
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


def _left_out(report: Report, alerts: AlertLog | None) -> Iterator[str]:
    if report.n_units > len(report.units):
        yield (
            f"Pictures are of {len(report.units)} of {report.n_units:,} units: those with "
            "the most events, then incidents. The counts and tables are of all."
        )
    if report.n_too_short:
        yield (
            f"{report.n_too_short:,} units have no score: they have fewer readings than a "
            f"window of {report.loaded.detector.window}."
        )
    n_wanted = len(report.events) or len(report.incidents)
    if n_wanted > len(report.zooms):
        what = "labelled events" if report.events else "incidents"
        yield f"{len(report.zooms)} of {n_wanted:,} {what} are shown from near."
    if alerts is None:
        return
    if alerts.n_other:
        yield f"{alerts.n_other:,} alerts of other detectors were left out."
    n_outside = len(alerts.incidents()) - len(report.incidents)
    if n_outside:
        yield f"{n_outside:,} incidents outside the data's units and times were left out."
