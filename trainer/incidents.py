"""Incidents as their alerts tell of them: read from a file, or computed from scores."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.alert import Alert, AlertEncoder, DetectorPart, decode
from pipeline.detector.artifact import LoadedDetector
from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.incident import IncidentTracker
from pipeline.records import Readings, Scores
from pipeline.steps import calibrated_rule
from pipeline.times import parse_iso_s
from pipeline.window import LiveWindows

MAX_SENSORS = 5
"""Sensors that explain an incident."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, from all the alerts of it."""

    span: Span
    peak: Alert
    """The alert with the highest peak."""


@dataclass(slots=True)
class AlertLog:
    """Alerts of one detector, folded to incidents as they come; repeats change nothing."""

    digest: str
    n_other: int = 0
    """Alerts of other detectors, left out."""
    _incidents: dict[str, Incident] = field(default_factory=dict)

    def add(self, alert: Alert) -> None:
        """Take one alert, in any order.

        Raises:
            ValueError: one of its times is not ISO 8601.
        """
        if alert.detector.digest != self.digest:
            self.n_other += 1
            return
        opened_s = parse_iso_s(alert.opened_at)
        closed_s = math.inf if alert.closed_at is None else parse_iso_s(alert.closed_at)
        known = self._incidents.get(alert.incident_id)
        if known is not None:
            closed_s = min(closed_s, known.span.end_s)
            if known.peak.peak_score >= alert.peak_score:
                alert = known.peak
        span = Span(alert.unit, opened_s, closed_s)
        self._incidents[alert.incident_id] = Incident(span, alert)

    def incidents(self) -> list[Incident]:
        """All of them, in the order they opened."""
        return sorted(self._incidents.values(), key=lambda i: (i.span.begin_s, i.span.unit))


def read_alerts(path: Path, digest: str) -> AlertLog:
    """Read a file with one alert record a line, as they come from the alert topic.

    Raises:
        InputError: the file cannot be read, a line is no alert, or all are of another
            detector.
    """
    log = AlertLog(digest)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    log.add(decode(line))
                except (InputError, ValueError) as error:
                    raise InputError(f"{path}: line {number}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if log.n_other and not log.incidents():
        raise InputError(
            f"{path}: all {log.n_other} alerts are of another detector than {digest}; "
            "give the detector that raised them, or leave out --alerts"
        )
    return log


NO_RESTART = np.zeros(1, dtype=np.int64)
"""From where the unit would be read again: a file is read once."""


class UnitIncidents:
    """Follows one unit's scores by the worker's own steps, and keeps the alerts of it."""

    def __init__(self, loaded: LoadedDetector) -> None:
        self._tracker = IncidentTracker(calibrated_rule(loaded))
        detector = DetectorPart(loaded.manifest.name, loaded.digest)
        self._encoder = AlertEncoder("", loaded.detector.sensors, detector, MAX_SENSORS)
        self._log = AlertLog(loaded.digest)

    def add(self, readings: Readings, windows: LiveWindows, scores: Scores) -> None:
        """Take the unit's next readings, the windows they completed, and those' scores."""
        self._tracker.forget_scores(windows.anew)
        events = self._tracker.update(readings, windows, scores, NO_RESTART).events
        for message in self._encoder.encode(events):
            self._log.add(decode(message.value or b""))

    def incidents(self) -> list[Incident]:
        """What has opened so far."""
        return self._log.incidents()
