"""A comparison on the terminal, and as JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table as PrintedTable
from rich.text import Text

from pipeline.alert_log import Incident
from pipeline.compare.agreement import QUANTILES
from pipeline.compare.comparison import Comparison, Found
from pipeline.compare.episodes import Episode
from pipeline.compare.words import (
    FOUND_BY,
    figure_rows,
    lasted_text,
    opened_text,
    peak_text,
    sensors_text,
    summary_lines,
    verdict,
)
from pipeline.times import iso_time

PLAIN_WIDTH = 180
"""Characters in a line where no terminal says how many fit."""
MAX_LISTED = 20
"""Episodes: those that only one has found, the highest, then those with another begin."""


def show_comparison(comparison: Comparison) -> None:
    """Print the figures side by side, and the incidents that differ most."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH, color_system=None)
    console.print(f"A  {comparison.a.name}", markup=False, soft_wrap=True)
    console.print(f"B  {comparison.b.name}", markup=False, soft_wrap=True)
    console.print(f"on {comparison.source}\n", markup=False, soft_wrap=True)
    figures = _printed("", "A", "B")
    for row in figure_rows(comparison):
        figures.add_row(*map(Text, row))
    console.print(figures, "")
    for line in (verdict(comparison), *summary_lines(comparison), *comparison.notes):
        console.print(line, markup=False, soft_wrap=True)
    listed = differing(comparison.episodes)[:MAX_LISTED]
    if not listed:
        return
    columns = ("found by", "unit", "began", "lasted", "B opened")
    table = _printed(*columns, "peak A", "peak B", "sensors A", "sensors B")
    for each in listed:
        cells = (
            *(FOUND_BY[each.found_by], each.unit, iso_time(each.begin_s)),
            *(lasted_text(each), opened_text(each)),
            *(peak_text(each.a), peak_text(each.b)),
            *(sensors_text(each.a), sensors_text(each.b)),
        )
        table.add_row(*map(Text, cells))
    console.print("", table)
    n_more = len(differing(comparison.episodes)) - len(listed)
    if n_more > 0:
        console.print(f"and {n_more:,} more that differ; --json tells of all")


def differing(episodes: Sequence[Episode]) -> list[Episode]:
    """Those that only one has found, the highest first, then those that began apart."""
    alone = [each for each in episodes if each.found_by != "both"]
    apart = [each for each in episodes if each.lead_s]
    return [
        *sorted(alone, key=lambda each: -each.peak_score),
        *sorted(apart, key=lambda each: -abs(each.lead_s or 0.0)),
    ]


def _printed(*columns: str) -> PrintedTable:
    printed = PrintedTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        printed.add_column(column, overflow="fold")
    return printed


def json_text(comparison: Comparison) -> str:
    """All of it as one line of JSON; null where a figure is not defined."""
    agreement = comparison.agreement
    fields: dict[str, Any] = {
        "source": comparison.source,
        "first_time": _iso(comparison.first_s),
        "last_time": _iso(comparison.last_s),
        "n_warm_up_records": comparison.n_warm_up,
        "n_events_of_other_units": comparison.n_events_of_other_units,
        "n_events_at_other_times": comparison.n_events_at_other_times,
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "n_only_a": len(comparison.by("a")),
        "n_only_b": len(comparison.by("b")),
        "n_both": len(comparison.by("both")),
        "scores": {
            "n_readings": agreement.n_readings,
            "n_sampled": len(agreement.score_S2),
            "rank_correlation": _finite(agreement.rank_correlation),
            "quantiles": [
                {"share_below": q, "a": _finite(float(a)), "b": _finite(float(b))}
                for q, a, b in zip(QUANTILES, *agreement.quantile_2Q, strict=True)
            ],
        },
        "blame": [each._asdict() for each in comparison.blame],
        "n_other_sensor_first": comparison.n_other_sensor_first,
        "episodes": [_episode(each) for each in comparison.episodes],
        "notes": comparison.notes,
    }
    return json.dumps(fields, allow_nan=False)


def _side(found: Found) -> dict[str, Any]:
    against = found.against_labels
    return {
        "detector": found.name,
        "digest": found.loaded.digest,
        "model": found.loaded.manifest.model,
        "n_readings": found.n_readings,
        "n_units": found.n_units,
        "n_scored": found.n_scored,
        "n_rejected_records": found.n_rejected,
        "largest_score": found.largest_score,
        "unit_days": found.unit_days,
        "n_incidents": len(found.incidents),
        "n_critical": found.n_critical,
        "n_events": None if against is None else len(against.matches),
        "n_events_found": None if against is None else against.n_found,
        "median_delay_s": None if against is None else _finite(against.median_delay_s),
        "n_false_alarms": None if against is None else found.n_false,
        "false_alarms_per_unit_day": _finite(found.false_per_unit_day),
        "promised_per_unit_day": found.promised_per_unit_day,
    }


def _episode(episode: Episode) -> dict[str, Any]:
    return {
        "unit": episode.unit,
        "found_by": episode.found_by,
        "b_opened_earlier_by_s": episode.lead_s,
        "a": [_incident(each) for each in episode.a],
        "b": [_incident(each) for each in episode.b],
    }


def _incident(incident: Incident) -> dict[str, Any]:
    peak = incident.peak
    return {
        "incident_id": peak.incident_id,
        "opened_at": peak.opened_at,
        "closed_at": _iso(incident.span.end_s),
        "peak_score": peak.peak_score,
        "severity": peak.severity,
        "sensors": msgspec.to_builtins(peak.sensors),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _iso(time_s: float) -> str | None:
    return iso_time(time_s) if math.isfinite(time_s) else None
