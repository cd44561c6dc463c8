"""Two detectors over the same records: what each found, and what of it is the same."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline import events as labelled
from pipeline.alert_log import Incident
from pipeline.compare.agreement import Agreement, AgreementBuilder
from pipeline.compare.episodes import Episode, episodes, highest
from pipeline.compare.side import Side
from pipeline.compare.source import Source
from pipeline.detector.artifact import LoadedDetector
from pipeline.events import Span

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one detector made of the records."""

    name: str
    loaded: LoadedDetector
    n_readings: int
    n_units: int
    n_scored: int
    n_rejected: int
    """Records that could not be read."""
    largest_score: float
    unit_days: float
    """Watched, summed over units, without gaps."""
    incidents: list[Incident]
    against_labels: labelled.Comparison | None
    """None without labels."""
    unlabelled_unit_days: float
    """The same less what of it lies within labelled events; all without labels."""

    @property
    def n_critical(self) -> int:
        """Incidents that became critical."""
        return sum(each.peak.severity == "critical" for each in self.incidents)

    @property
    def n_false(self) -> int:
        """Incidents outside of all labelled events; without labels, all of them."""
        if self.against_labels is None:
            return len(self.incidents)
        return len(self.against_labels.false_alarms)

    @property
    def false_per_unit_day(self) -> float:
        """To hold against `promised`; NaN if the readings' times do not advance."""
        days = self.unlabelled_unit_days
        return self.n_false / days if days > 0 else math.nan

    @property
    def promised_per_unit_day(self) -> float:
        """False alarms that its threshold was set for."""
        return self.loaded.manifest.threshold.expected_false_alarms_per_unit_day


class Blame(NamedTuple):
    """How much two detectors blame one sensor, in the incidents that both have found."""

    sensor: str
    share_a: float
    """Mean share of the peak score, 0 to 1; 0 where an alert does not name it."""
    share_b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of it."""

    source: str
    first_s: float
    last_s: float
    """Of the readings, seconds since the epoch."""
    a: Found
    b: Found
    episodes: list[Episode]
    """In the order they begin."""
    agreement: Agreement
    blame: list[Blame]
    """The most different first."""
    labels: list[Span] | None
    """Those of a unit that share a moment are one. None without labels."""
    n_events_of_other_units: int
    """Labelled events of units without readings: they count for nothing."""
    n_events_at_other_times: int
    """Those before their unit's first reading or after its last: nobody could find them."""
    n_warm_up: int
    """Records read before those that count."""
    notes: list[str]

    def by(self, found_by: str) -> list[Episode]:
        """The episodes of `a`, `b` or `both`."""
        return [episode for episode in self.episodes if episode.found_by == found_by]

    @property
    def n_other_sensor_first(self) -> int:
        """Episodes found by both in which they blame another sensor most."""
        return sum(_first_sensor(e.a) != _first_sensor(e.b) for e in self.by("both"))


def compare(
    a: Side,
    b: Side,
    source: Source,
    labels: Sequence[Span] | None,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Comparison:
    """Put the records of a source through both detectors.

    Memory does not grow with the number of records: incidents are kept, counters, each
    unit's last readings, and a sample of scores.

    Args:
        a: nothing has gone through it yet.
        b: nor through this.
        source: of the records.
        labels: events that should be found, of whatever units and times; None if nobody
            knows any.
        on_progress: told the share of records that are done, 0 to 1.

    Raises:
        InputError: one of them has too many incidents.
        TransportError: the source failed.
    """
    agreement = AgreementBuilder()
    events = None if labels is None else labelled.joined(labels)
    n_warm_up = 0
    is_warm = False
    for batch in source.batches():
        if not batch.is_warm_up and not is_warm:
            is_warm = _begun(a, b, events or ())
        for scored_a, scored_b in zip(
            a.take(batch.records), b.take(batch.records), strict=True
        ):
            if is_warm:
                agreement.add(scored_a, scored_b)
        n_warm_up += len(batch.records.records) if batch.is_warm_up else 0
        on_progress(batch.done)
    if not is_warm:
        _begun(a, b, events or ())
    both = episodes(a.incidents(), b.incidents())
    known = None if events is None else _Labels(events, a, b)
    return Comparison(
        source=source.name,
        first_s=min(a.first_s, b.first_s),
        last_s=max(a.last_s, b.last_s),
        a=_found(a, known),
        b=_found(b, known),
        episodes=both,
        agreement=agreement.agreement(),
        blame=_blame(both),
        labels=events,
        n_events_of_other_units=0 if known is None else known.n_of_other_units,
        n_events_at_other_times=0 if known is None else known.n_at_other_times,
        n_warm_up=n_warm_up,
        notes=list(source.notes),
    )


def _begun(a: Side, b: Side, events: Sequence[Span]) -> bool:
    a.begin(events)
    b.begin(events)
    return True


class _Labels:
    """Owns which labelled events there are, and which of them could be found.

    The same for both detectors: an event whose readings only one can read counts as one
    that the other has missed.
    """

    def __init__(self, events: Sequence[Span], a: Side, b: Side) -> None:
        """Args:
        events: of a unit in the order of time, and apart.
        a: all records have gone through it.
        b: and through this.
        """
        read = _read(a, b)
        last_s = max(a.last_s, b.last_s)
        self.events = events
        self.n_of_other_units = sum(event.unit not in read for event in events)
        # An incident that is still open has nothing to do with what comes later. One that
        # was open at the begin may have to do with what came before.
        self._begun = [
            event
            for event in events
            if event.begin_s <= (read[event.unit].end_s if event.unit in read else last_s)
        ]
        self._inside = {
            event
            for event in self._begun
            if event.unit in read and event.end_s >= read[event.unit].begin_s
        }

    @property
    def n_at_other_times(self) -> int:
        """Events of units that were read, but not then."""
        return len(self.events) - len(self._inside) - self.n_of_other_units

    def against(self, incidents: Iterable[Span]) -> labelled.Comparison:
        """Match unit by unit: of many units the events of one are few."""
        by_unit: defaultdict[str, tuple[list[Span], list[Span]]]
        by_unit = defaultdict(lambda: ([], []))
        for event in self._begun:
            by_unit[event.unit][0].append(event)
        for incident in incidents:
            by_unit[incident.unit][1].append(incident)
        parts = [labelled.compare(*both) for both in by_unit.values()]
        matches = [match for part in parts for match in part.matches]
        return labelled.Comparison(
            [match for match in matches if match.event in self._inside],
            [alarm for part in parts for alarm in part.false_alarms],
        )


def _read(a: Side, b: Side) -> dict[str, Span]:
    """Of each unit with events that either has read: from first reading to last."""
    read = dict(a.read)
    for unit, span in b.read.items():
        other = read.get(unit, span)
        begin_s = min(span.begin_s, other.begin_s)
        read[unit] = Span(unit, begin_s, max(span.end_s, other.end_s))
    return read


def _found(side: Side, labels: _Labels | None) -> Found:
    incidents = side.incidents()
    against = None
    if labels is not None:
        against = labels.against(incident.span for incident in incidents)
    return Found(
        name=side.name,
        loaded=side.loaded,
        n_readings=side.n_readings,
        n_units=side.n_units,
        n_scored=side.n_scored,
        n_rejected=side.n_rejected,
        largest_score=side.largest_score,
        unit_days=side.watched_s / DAY_S,
        incidents=incidents,
        against_labels=against,
        unlabelled_unit_days=max(0.0, side.watched_s - side.labelled_s) / DAY_S,
    )


def _blame(found: Sequence[Episode]) -> list[Blame]:
    shares: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    both = [episode for episode in found if episode.found_by == "both"]
    for episode in both:
        for side, incidents in enumerate((episode.a, episode.b)):
            for sensor in highest(incidents).peak.sensors:
                shares[sensor.name][side] += sensor.contribution / len(both)
    blame = [Blame(sensor, *each) for sensor, each in shares.items()]
    return sorted(blame, key=lambda each: (-abs(each.share_b - each.share_a), each.sensor))


def _first_sensor(incidents: Sequence[Incident]) -> str:
    sensors = highest(incidents).peak.sensors
    return sensors[0].name if sensors else ""


def leads_s(both: Sequence[Episode]) -> list[float]:
    """By how much B opened earlier than A, of episodes found by both."""
    return [episode.lead_s for episode in both if episode.lead_s is not None]


def median_s(values_s: Sequence[float]) -> float:
    """NaN of none."""
    return float(np.median(values_s)) if values_s else math.nan
