"""Incidents as their alerts tell of them: read from a file, or computed from scores."""

from pathlib import Path

import numpy as np

from pipeline.alert import AlertEncoder, DetectorPart, decode
from pipeline.alert_log import AlertLog, Incident
from pipeline.detector.artifact import LoadedDetector
from pipeline.errors import InputError
from pipeline.incident import IncidentTracker
from pipeline.records import Readings, Scores
from pipeline.steps import calibrated_rule
from pipeline.window import LiveWindows

MAX_SENSORS = 5
"""Sensors that explain an incident."""


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
