"""`trainer similar`: past incidents that looked like one."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.alert import Alert, decode
from pipeline.errors import InputError
from pipeline.feedback import decode as decode_feedback
from pipeline.plain_text import plain
from pipeline.times import parse_iso_s
from trainer.labels.lines import Malformed, records

SENSOR_WEIGHT = 2 / 3
"""Of the sensors to blame; the rest is the latent vectors'. On ten faults of the Tennessee
Eastman process sensors tell more than vectors do: see the README."""
MAX_CHOSEN = 1_000
"""Incidents that begin alike, before the search for one ends."""


@dataclass(frozen=True, slots=True)
class Similar:
    """A past incident, and how like it is."""

    similarity: float
    """-1 to 1; 1 is the same direction of everything that is compared."""
    alert: Alert
    """The one with its highest peak."""
    verdict: str | None


class Look(NamedTuple):
    """What of an incident is compared, each part of length 1."""

    share_by_sensor: Mapping[str, float]
    """What the sensors that its alert names contributed."""
    embedding_L: np.ndarray | None
    detector: str
    """Whose latent space it is."""


def look_of(alert: Alert) -> Look:
    """What of this alert's incident is compared with others."""
    shares = {sensor.name: sensor.contribution for sensor in alert.sensors}
    length = math.hypot(*shares.values()) or 1.0
    embedding_L = None
    if alert.embedding:
        latent_L = np.array(alert.embedding, dtype=np.float64)
        # By the largest first: whoever wrote it, its square may be more than a float holds.
        latent_L /= float(np.abs(latent_L).max()) or 1.0
        embedding_L = latent_L / (float(np.linalg.norm(latent_L)) or 1.0)
    return Look(
        {name: share / length for name, share in shares.items()},
        embedding_L,
        alert.detector.digest,
    )


def similarity(a: Look, b: Look) -> float:
    """How alike two incidents are: a weighted mean of cosines, -1 to 1.

    Of the sensors' contributions, by name, and of the latent vectors, where both have one
    of the same detector: another detector's latent space has axes of its own.
    """
    by_sensors = sum(
        share * b.share_by_sensor.get(name, 0.0)
        for name, share in a.share_by_sensor.items()
    )
    if (
        a.embedding_L is None
        or b.embedding_L is None
        or a.detector != b.detector
        or len(a.embedding_L) != len(b.embedding_L)
    ):
        return by_sensors
    by_vectors = float(a.embedding_L @ b.embedding_L)
    return SENSOR_WEIGHT * by_sensors + (1 - SENSOR_WEIGHT) * by_vectors


def most_similar(
    query: Alert, alerts: Iterable[Alert], n: int, verdicts: Mapping[str, str]
) -> list[Similar]:
    """The incidents most like one, of those that opened before it, the most alike first.

    Args:
        query: the alert with the incident's highest peak.
        alerts: in any order, several of an incident; the one with its highest peak counts.
        n: at most so many.
        verdicts: by incident.
    """
    wanted, before_s = look_of(query), parse_iso_s(query.opened_at)
    # Of each incident its peak and likeness alone: an archive may hold millions.
    found: dict[str, tuple[float, float]] = {}
    best: dict[str, Alert] = {}
    for alert in alerts:
        name = alert.incident_id
        if name == query.incident_id or parse_iso_s(alert.opened_at) >= before_s:
            continue
        peak, _ = found.get(name, (-math.inf, 0.0))
        if alert.peak_score < peak:
            continue
        likeness = similarity(wanted, look_of(alert))
        found[name] = (alert.peak_score, likeness)
        best[name] = alert
        if len(best) > 8 * max(n, 64):
            kept = sorted(best, key=lambda each: -found[each][1])[: 4 * max(n, 64)]
            best = {each: best[each] for each in kept}
    ranked = sorted(best.values(), key=lambda a: (-found[a.incident_id][1], a.opened_at))
    return [
        Similar(found[a.incident_id][1], a, verdicts.get(a.incident_id)) for a in ranked[:n]
    ]


class Found(NamedTuple):
    """What came of looking."""

    query: Alert
    """The incident's alert with the highest peak."""
    similar: list[Similar]
    notes: list[str]
    """What could not be read, in words."""


def find_similar(
    archive: str, incident_id: str | None, feedback: str | None, n: int
) -> Found:
    """Look an incident's likes up in an archive of alerts.

    Lines that are no records are counted and left out.

    Args:
        archive: alert records, see `trainer.labels.lines.records`.
        incident_id: or its first characters; None: the incident that opened last.
        feedback: verdicts, see `pipeline.feedback`; of an incident the latest one counts.
        n: at most so many.

    Raises:
        InputError: a source cannot be read, or there is no such incident.
        TransportError: Kafka refused, or did not answer in time.
    """
    bad_alerts, bad_verdicts = Malformed("alert"), Malformed("feedback")
    verdicts = {} if feedback is None else read_verdicts(feedback, bad_verdicts)
    query = _query(archive, incident_id, bad_alerts)
    similar = most_similar(query, read_alerts(archive, Malformed("alert")), n, verdicts)
    return Found(query, similar, [*bad_alerts.notes(), *bad_verdicts.notes()])


def read_alerts(archive: str, malformed: Malformed) -> Iterator[Alert]:
    """The alerts of an archive.

    Raises:
        InputError, TransportError: it cannot be read.
    """
    for where, value in records(archive, None):
        try:
            alert = decode(value)
            parse_iso_s(alert.opened_at)
        except (InputError, ValueError) as error:
            malformed.add(where, error)
            continue
        yield alert


def read_verdicts(feedback: str, malformed: Malformed) -> dict[str, str]:
    """What was said of incidents, by incident; with a note it says both.

    Raises:
        InputError, TransportError: it cannot be read.
    """
    latest: dict[str, tuple[float, str]] = {}
    for where, value in records(feedback, None):
        try:
            said, when_s = decode_feedback(value)
        except InputError as error:
            malformed.add(where, error)
            continue
        note = f": {said.note}" if said.note else ""
        before_s, _ = latest.get(said.incident_id, (-math.inf, ""))
        if when_s >= before_s:
            latest[said.incident_id] = (when_s, said.word + note)
    return {name: words for name, (_, words) in latest.items()}


def as_json(query: Alert, similar: list[Similar]) -> str:
    """What was found, as one line of JSON."""
    return json.dumps(
        {
            "incident_id": query.incident_id,
            "similar": [
                {
                    "incident_id": each.alert.incident_id,
                    "similarity": round(each.similarity, 4),
                    "unit": each.alert.unit,
                    "opened_at": each.alert.opened_at,
                    "peak_score": each.alert.peak_score,
                    "verdict": each.verdict,
                }
                for each in similar
            ],
        }
    )


def as_lines(query: Alert, similar: list[Similar]) -> list[str]:
    """What was found, as lines of text."""
    lines = [f"like {_told(query)}"]
    lines += [
        f"{each.similarity:6.2f}  {_told(each.alert)}; "
        f"verdict: {plain(each.verdict or 'none')}"
        for each in similar
    ]
    return lines if similar else [*lines, "no incident opened before it"]


def _told(alert: Alert) -> str:
    sensors = ", ".join(f"{s.name} {s.contribution:.0%}" for s in alert.sensors[:3])
    return (
        f"{alert.opened_at}  {plain(alert.unit)}  peak {alert.peak_score:g}  "
        f"{plain(sensors)}  ({alert.incident_id[:12]})"
    )


def _query(archive: str, incident_id: str | None, malformed: Malformed) -> Alert:
    chosen: dict[str, Alert] = {}
    for alert in read_alerts(archive, malformed):
        name = "" if incident_id is None else alert.incident_id
        if not name.startswith(incident_id or ""):
            continue
        if name not in chosen or _precedes(chosen[name], alert):
            chosen[name] = alert
        if len(chosen) > MAX_CHOSEN:
            break
    if not chosen:
        wanted = "an alert" if incident_id is None else f"incident {incident_id!r}"
        why = f" ({malformed.notes()[0]})" if malformed.n else ""
        raise InputError(f"{archive}: expected {wanted}, found none{why}")
    if incident_id in chosen:
        return chosen[incident_id]
    if len(chosen) > 1:
        raise InputError(
            f"{archive}: several incidents begin with {incident_id!r}; give more of it"
        )
    return next(iter(chosen.values()))


def _precedes(a: Alert, b: Alert) -> bool:
    """Whether `b` is of a later incident, or tells of a higher peak of the same."""
    if a.incident_id == b.incident_id:
        return b.peak_score > a.peak_score
    return parse_iso_s(b.opened_at) > parse_iso_s(a.opened_at)
