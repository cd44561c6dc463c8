"""What alerts come to: which incidents are open, and which were closed of late."""

import heapq
import re
from array import array
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from pipeline.alert import Alert, decode
from pipeline.errors import InputError
from pipeline.times import END_OF_CALENDAR_S, parse_iso_s

Severity = Literal["warning", "critical"]
MAX_OPEN = 100_000
"""Of which something is remembered; further ones are only counted."""
MAX_CLOSED = 10_000
"""Ids of closed incidents by which repeats are known, the newest."""
MAX_RECENT = 20
MAX_RECORD_BYTES = 65_536
"""A longer record is no alert."""
MAX_SCORES = 16
MAX_SENSORS = 3
MAX_KEPT_CHARS = 64
"""Of a name; more would not be shown."""
_INCIDENT_ID = re.compile(r"[0-9a-f]{32}")
_STATES = ("opened", "updated", "closed")


@dataclass(slots=True)
class Incident:
    """One incident, as of its newest alert. What is shown of it, and no more."""

    unit: str
    opened_s: float
    newest_s: float
    state: str
    severity: str
    peak_score: float
    scores: "array[float]" = field(repr=False)
    """Of its newest alerts."""
    sensors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts are looked at."""

    units: tuple[str, ...] = ()
    """Patterns as of file names; none: all."""
    severity: Severity = "warning"
    """The least one."""

    def takes(self, alert: Alert) -> bool:
        """Whether this is one of them."""
        if self.severity == "critical" and alert.severity != "critical":
            return False
        return not self.units or any(fnmatchcase(alert.unit, u) for u in self.units)


@dataclass(slots=True)
class Totals:
    """What was read, in numbers."""

    n_seen: int = 0
    """Incidents. Of one that opened as a warning, or before the reading began, the first
    alert that is looked at is not the one that opened it."""
    n_closed: int = 0
    n_repeats: int = 0
    n_malformed: int = 0
    n_beyond: int = 0
    """Incidents that opened while `MAX_OPEN` were open; nothing more is known of them."""


class Incidents:
    """Owns what is remembered of incidents, in bounded memory."""

    def __init__(self, wanted: Wanted, max_open: int = MAX_OPEN) -> None:
        self._wanted = wanted
        self._max_open = max_open
        self._open: dict[str, Incident] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self.recent: list[Incident] = []
        """Closed ones, the latest first, at most `MAX_RECENT`."""
        self.totals = Totals()

    def take(self, value: bytes | None) -> Alert | None:
        """Take one record of the topic. The alert, if it is one that is wanted, and new."""
        try:
            alert = _alert(value)
        except InputError:
            self.totals.n_malformed += 1
            return None
        if not self._wanted.takes(alert):
            return None
        if not self._is_news(alert):
            self.totals.n_repeats += 1
            return None
        self._add(alert)
        return alert

    @property
    def n_open(self) -> int:
        """Open incidents, less those beyond what is remembered."""
        return len(self._open)

    @property
    def n_critical(self) -> int:
        """Those of them that are critical."""
        return sum(each.severity == "critical" for each in self._open.values())

    def worst(self, n_most: int) -> list[Incident]:
        """Open incidents, critical ones first, then the newest; at most so many."""
        return heapq.nsmallest(
            n_most,
            self._open.values(),
            key=lambda each: (each.severity != "critical", -each.opened_s, each.unit),
        )

    def _is_news(self, alert: Alert) -> bool:
        """Whether it was not seen before. An incident's alerts are in order of time."""
        if alert.incident_id in self._closed:
            return False
        known = self._open.get(alert.incident_id)
        if known is None:
            return True
        place = (parse_iso_s(alert.time), _STATES.index(alert.state))
        return place > (known.newest_s, _STATES.index(known.state))

    def _add(self, alert: Alert) -> None:
        known = self._open.pop(alert.incident_id, None)
        incident = _incident(alert, known.scores if known else array("f"))
        # Of those beyond `max_open` nothing is known that would tell which is the first.
        is_first = alert.state == "opened" or not self.totals.n_beyond
        self.totals.n_seen += known is None and is_first
        if alert.state == "closed":
            self.totals.n_closed += 1
            self._closed[alert.incident_id] = None
            if len(self._closed) > MAX_CLOSED:
                self._closed.popitem(last=False)
            self.recent = [incident, *self.recent][:MAX_RECENT]
            return
        if known is None and len(self._open) >= self._max_open:
            self.totals.n_beyond += alert.state == "opened"
            return
        self._open[alert.incident_id] = incident


def _alert(value: bytes | None) -> Alert:
    """The record as an alert.

    Raises:
        InputError: it is none.
    """
    if value is None or len(value) > MAX_RECORD_BYTES:
        raise InputError("empty, or too long")
    try:
        alert = decode(value)
        times_s = [parse_iso_s(time) for time in (alert.opened_at, alert.time)]
    except (RecursionError, ValueError) as error:
        raise InputError("a time that is none, or nested too deeply") from error
    if not _INCIDENT_ID.fullmatch(alert.incident_id):
        raise InputError("an id that is none")
    if not all(0.0 <= time_s < END_OF_CALENDAR_S for time_s in times_s):
        raise InputError("a time outside of the calendar")
    return alert


def _incident(alert: Alert, scores: "array[float]") -> Incident:
    # A float of 32 bits has no room for 1e300.
    scores.append(min(alert.score, 3e38))
    return Incident(
        unit=alert.unit[: MAX_KEPT_CHARS + 1],
        opened_s=parse_iso_s(alert.opened_at),
        newest_s=parse_iso_s(alert.time),
        state=alert.state,
        severity=alert.severity,
        peak_score=alert.peak_score,
        scores=scores[-MAX_SCORES:],
        sensors=_names(alert),
    )


def _names(alert: Alert) -> tuple[str, ...]:
    names: Collection[str] = [sensor.name for sensor in alert.sensors[:MAX_SENSORS]]
    return tuple(name[: MAX_KEPT_CHARS + 1] for name in names)
