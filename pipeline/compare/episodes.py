"""Which incidents of two detectors are the same: those of a unit that share a moment."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.alert_log import Incident

FoundBy = Literal["a", "b", "both"]


@dataclass(frozen=True, slots=True)
class Episode:
    """A time in which one unit has an incident open, by either detector or by both."""

    unit: str
    a: list[Incident]
    """In the order they opened, as the others."""
    b: list[Incident]

    @property
    def found_by(self) -> FoundBy:
        """Who had an incident open in it."""
        if self.a and self.b:
            return "both"
        return "a" if self.a else "b"

    @property
    def begin_s(self) -> float:
        """When its first incident opened, seconds since the epoch."""
        return min(each.span.begin_s for each in (*self.a, *self.b))

    @property
    def end_s(self) -> float:
        """When the last one closed; `math.inf` while one is open."""
        return max(each.span.end_s for each in (*self.a, *self.b))

    @property
    def lead_s(self) -> float | None:
        """By how much B opened earlier than A; negative if later. None if not by both."""
        if self.found_by != "both":
            return None
        return self.a[0].span.begin_s - self.b[0].span.begin_s

    @property
    def peak_score(self) -> float:
        """The highest of either."""
        return max(each.peak.peak_score for each in (*self.a, *self.b))


def highest(incidents: Sequence[Incident]) -> Incident:
    """The one with the highest peak."""
    return max(incidents, key=lambda incident: incident.peak.peak_score)


def episodes(a: Iterable[Incident], b: Iterable[Incident]) -> list[Episode]:
    """Join incidents of a unit that share a moment, in the order they begin.

    What closes at the very reading at which another opens shares that moment.
    """
    by_unit: defaultdict[str, list[tuple[Incident, bool]]] = defaultdict(list)
    for incidents, is_a in ((a, True), (b, False)):
        for incident in incidents:
            by_unit[incident.span.unit].append((incident, is_a))
    found: list[Episode] = []
    for unit, marked in by_unit.items():
        marked.sort(key=lambda each: each[0].span.begin_s)
        end_s = float("-inf")
        for incident, is_a in marked:
            if incident.span.begin_s > end_s:
                found.append(Episode(unit, [], []))
            end_s = max(end_s, incident.span.end_s)
            (found[-1].a if is_a else found[-1].b).append(incident)
    return sorted(found, key=lambda episode: (episode.begin_s, episode.unit))
