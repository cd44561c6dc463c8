"""The report as one HTML page: words and pictures into the template."""

import math
from typing import Any

import numpy as np

from pipeline.alert_log import Incident
from pipeline.detector.artifact import LoadedDetector
from pipeline.events import Match, Span, summary_lines
from pipeline.pages.drawing import Bar
from pipeline.records import FloatArray
from trainer.evaluate_page import COLUMNS, cells
from trainer.page_template import page_template
from trainer.pictures import score_picture, sensor_picture, timeline
from trainer.portrait import Portrait
from trainer.portrait_page import detector_parts
from trainer.report import Report, Zoom
from trainer.review import UnitReview

MAX_SENSOR_PICTURES = 48
"""Over all units; each has at least `MIN_PER_UNIT` and at most `MAX_PER_UNIT`."""
MIN_PER_UNIT, MAX_PER_UNIT = 8, 24
MAX_EVENT_ROWS = 100
MAX_INCIDENT_ROWS = 200
N_TOP_SENSORS = 3


def render(report: Report) -> str:
    """The page on data. Whatever comes from data is escaped by the template."""
    template = page_template("page.html.j2", report.step_s)
    numbers = {id(i): n for n, i in enumerate(report.incidents, start=1)}
    notes = list(report.notes)
    n_sensors = len(report.loaded.detector.sensors)
    if _n_sensors(report) < n_sensors:
        notes.append(
            f"{_n_sensors(report)} of {n_sensors} sensors are drawn of each unit: those "
            "with the largest part in what was unusual."
        )
    return template.render(
        **detector_parts(report.loaded, report.portrait),
        report=report,
        summary=_summary(report),
        quality=_quality(report),
        events=_event_rows(report, notes),
        incidents=_incident_rows(report, numbers, notes),
        units=[_unit(report, unit) for unit in report.units],
        zooms=[_zoom(report, zoom, numbers) for zoom in report.zooms],
        near={numbers[id(z.incident)] for z in report.zooms if z.incident is not None},
        notes=notes,
    )


def render_alone(loaded: LoadedDetector, portrait: Portrait) -> str:
    """The page of the detector alone."""
    template = page_template("page.html.j2", step_s=60.0)
    return template.render(**detector_parts(loaded, portrait), report=None, notes=[])


def _quality(report: Report) -> list[tuple[str, str]]:
    """The figures on labelled data, by name."""
    if not report.is_labelled:
        return []
    return list(zip(COLUMNS, cells(report.quality), strict=True))


def _summary(report: Report) -> dict[str, Any]:
    threshold = report.loaded.manifest.threshold
    comparison = report.comparison
    n_incidents = len(report.incidents)
    verdict, _ = summary_lines(
        comparison, threshold.expected_false_alarms_per_unit_day, report.unit_days
    )
    if not report.is_labelled:
        plural = "" if n_incidents == 1 else "s"
        verdict = f"{n_incidents:,} incident{plural}"
    n_counted = len(comparison.false_alarms)
    return {
        "verdict": verdict[0].upper() + verdict[1:],
        "n_events": len(comparison.matches),
        "n_found": comparison.n_found,
        "n_missed": len(comparison.matches) - comparison.n_found,
        "n_false": n_counted,
        "n_critical": sum(i.peak.severity == "critical" for i in report.incidents),
        "median_delay_s": comparison.median_delay_s if comparison.n_found else None,
        "promised": threshold.expected_false_alarms_per_unit_day,
        "at_most": threshold.at_most_false_alarms_per_unit_day,
        "observed": n_counted / report.unit_days if report.unit_days else None,
    }


def _event_rows(report: Report, notes: list[str]) -> list[dict[str, Any]]:
    numbers = {i.span: n for n, i in enumerate(report.incidents, start=1)}
    near = {id(zoom.event) for zoom in report.zooms}
    if len(report.events) > MAX_EVENT_ROWS:
        notes.append(
            f"The first {MAX_EVENT_ROWS} of {len(report.events):,} events are listed."
        )
    return [
        {
            "number": number,
            "match": match,
            "incident": numbers.get(match.incident) if match.incident else None,
            "peak_score": seen.peak_score,
            "top": _top(report, seen.share_F),
            "is_near": id(match) in near,
        }
        for number, (match, seen) in enumerate(report.events[:MAX_EVENT_ROWS], start=1)
    ]


def _incident_rows(
    report: Report, numbers: dict[int, int], notes: list[str]
) -> list[dict[str, Any]]:
    """The incidents with the highest peaks, in the order they opened."""
    highest = sorted(report.incidents, key=lambda i: -i.peak.peak_score)[:MAX_INCIDENT_ROWS]
    if len(report.incidents) > len(highest):
        notes.append(
            f"The {len(highest)} highest of {len(report.incidents):,} incidents are listed."
        )
    false_spans = set(report.comparison.false_alarms)
    return [
        {
            "number": numbers[id(incident)],
            "incident": incident,
            "is_open": math.isinf(incident.span.end_s),
            "is_false": incident.span in false_spans,
            "top": incident.peak.sensors[:N_TOP_SENSORS],
        }
        for incident in sorted(highest, key=lambda i: numbers[id(i)])
    ]


def _n_sensors(report: Report) -> int:
    """Sensors of each unit that are drawn."""
    per_unit = MAX_SENSOR_PICTURES // max(1, len(report.units))
    n_sensors = len(report.loaded.detector.sensors)
    return min(max(per_unit, MIN_PER_UNIT), MAX_PER_UNIT, n_sensors)


def _unit(report: Report, unit: UnitReview) -> dict[str, Any]:
    events, incidents = bars_of(report, unit)
    sensors = report.loaded.detector.sensors
    largest = np.argsort(-unit.share_F, kind="stable")[: _n_sensors(report)]
    return {
        "review": unit,
        "n_events": len(events),
        "timeline": timeline(unit.curves, events, incidents),
        "sensors": [
            {
                "name": sensors[f],
                "share": float(unit.share_F[f]),
                "picture": sensor_picture(unit.curves, f, [*events, *incidents]),
            }
            for f in sorted(largest.tolist())
        ],
    }


def _zoom(report: Report, zoom: Zoom, numbers: dict[int, int]) -> dict[str, Any]:
    unit = next(unit for unit in report.units if unit.unit == zoom.unit)
    events, incidents = bars_of(report, unit)
    bars = [*events, *incidents]
    largest = np.argsort(-zoom.share_F, kind="stable")[:N_TOP_SENSORS]
    matches: list[Match] = report.comparison.matches
    return {
        "zoom": zoom,
        "number": (
            numbers[id(zoom.incident)]
            if zoom.incident is not None
            else next(n for n, m in enumerate(matches, start=1) if m is zoom.event)
        ),
        "score": score_picture(zoom.curves, bars),
        "sensors": [
            {
                "name": report.loaded.detector.sensors[f],
                "share": float(zoom.share_F[f]),
                "picture": sensor_picture(zoom.curves, f, bars),
            }
            for f in largest.tolist()
        ],
    }


def bars_of(report: Report, unit: UnitReview) -> tuple[list[Bar], list[Bar]]:
    """A unit's labelled events and its incidents, as marks for its pictures."""
    false_spans: set[Span] = set()
    if report.is_labelled:
        false_spans = set(report.comparison.false_alarms)
    events = [Bar(e.span.begin_s, e.span.end_s, "event") for e in unit.events]
    return events, [_bar(incident, false_spans) for incident in unit.incidents]


def _bar(incident: Incident, false_spans: set[Span]) -> Bar:
    colour = "false" if incident.span in false_spans else "incident"
    return Bar(incident.span.begin_s, incident.span.end_s, colour)


def _top(report: Report, share_F: FloatArray) -> list[tuple[str, float]]:
    """The sensors with the largest part, and their shares."""
    largest = np.argsort(-share_F, kind="stable")[:N_TOP_SENSORS]
    sensors = report.loaded.detector.sensors
    return [(sensors[f], float(share_F[f])) for f in largest.tolist() if share_F[f] > 0]
