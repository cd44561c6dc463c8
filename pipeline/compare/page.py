"""A comparison as one HTML page: words and pictures into the template."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.compare.comparison import Comparison
from pipeline.compare.curves import unit_curves
from pipeline.compare.episodes import Episode
from pipeline.compare.pictures import COLOUR_A, COLOUR_B, scores_picture, unit_picture
from pipeline.compare.show import differing
from pipeline.compare.side import Side
from pipeline.compare.source import Source
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
from pipeline.events import Span
from pipeline.pages.template import page_template, style_sheet

MAX_UNITS_DRAWN = 12
MAX_ROWS = 200
MAX_BLAME_ROWS = 15
MINUTE_S = 60.0


def render(
    comparison: Comparison,
    sides: Callable[[], Sequence[Side]],
    source: Source,
    on_progress: Callable[[float], None] = lambda done: None,
) -> str:
    """The page. Whatever comes from data is escaped by the template.

    Args:
        comparison: what to show.
        sides: makes both detectors anew: the units that are drawn are scored again.
        source: what was compared on.
        on_progress: told the share that is done, 0 to 1.
    """
    differ = differing(comparison.episodes)
    in_order = list(dict.fromkeys(each.unit for each in differ))
    notes = list(comparison.notes)
    if len(in_order) > MAX_UNITS_DRAWN:
        notes.append(
            f"Pictures are of {MAX_UNITS_DRAWN} of the {len(in_order):,} units with "
            "incidents that differ: those where they are highest."
        )
    shown = sorted(differ[:MAX_ROWS], key=lambda each: (each.begin_s, each.unit))
    if len(differ) > len(shown):
        notes.append(
            f"The {len(shown)} highest of {len(differ):,} incidents that differ are listed."
        )
    return page_template("pipeline.compare", "page.html.j2", MINUTE_S / 2).render(
        style=style_sheet(),
        comparison=comparison,
        verdict=verdict(comparison),
        figures=figure_rows(comparison),
        facts=summary_lines(comparison),
        rows=[_row(each) for each in shown],
        blame=comparison.blame[:MAX_BLAME_ROWS],
        n_both=len(comparison.by("both")),
        units=_units(comparison, in_order[:MAX_UNITS_DRAWN], sides, source, on_progress),
        scores=scores_picture(comparison.agreement),
        colours=(COLOUR_A, COLOUR_B),
        notes=notes,
    )


def _row(episode: Episode) -> dict[str, Any]:
    return {
        "found_by": FOUND_BY[episode.found_by],
        "unit": episode.unit,
        "begin_s": episode.begin_s,
        "lasted": lasted_text(episode),
        "opened": opened_text(episode),
        "peaks": (peak_text(episode.a), peak_text(episode.b)),
        "sensors": (sensors_text(episode.a), sensors_text(episode.b)),
    }


def _units(
    comparison: Comparison,
    units: Sequence[str],
    sides: Callable[[], Sequence[Side]],
    source: Source,
    on_progress: Callable[[float], None],
) -> list[dict[str, Any]]:
    if not units or not math.isfinite(comparison.first_s):
        return []
    a, b = sides()
    curves = unit_curves(
        units, comparison.first_s, comparison.last_s, (a, b), source, on_progress
    )
    episodes: defaultdict[str, list[Episode]] = defaultdict(list)
    for episode in comparison.episodes:
        episodes[episode.unit].append(episode)
    labels: defaultdict[str, list[Span]] = defaultdict(list)
    for event in comparison.labels or ():
        labels[event.unit].append(event)
    return [
        {
            "unit": each.unit,
            "svg": unit_picture(each, episodes[each.unit], labels[each.unit]),
        }
        for each in curves
    ]
