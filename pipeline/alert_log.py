"""Incidents as their alerts tell of them."""

import math
from dataclasses import dataclass, field

from pipeline.alert import Alert
from pipeline.events import Span
from pipeline.times import parse_iso_s


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

    def forget_closed(self) -> None:
        """Keep only those that are open."""
        self._incidents = {
            incident_id: incident
            for incident_id, incident in self._incidents.items()
            if math.isinf(incident.span.end_s)
        }

    def __len__(self) -> int:
        return len(self._incidents)
