"""A comparison's pictures: both scores of a unit over time, and against each other."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from pipeline.compare.agreement import Agreement
from pipeline.compare.curves import UnitCurves
from pipeline.compare.episodes import Episode
from pipeline.events import Span
from pipeline.pages.drawing import (
    COLOURS,
    STYLE,
    Bar,
    as_svg,
    score_above_lanes,
    shade,
)

COLOUR_A, COLOUR_B = "observed", "expected"
MAX_DOTS = 1_500
"""Of the scores against each other: more only make the page large."""
DOT = 5.0


def unit_picture(
    curves: UnitCurves, episodes: Sequence[Episode], labels: Sequence[Span]
) -> str:
    """Both scores of one unit against the threshold; below, the incidents of each."""
    labelled = [Bar(each.begin_s, each.end_s, "event") for each in labels]
    rows = [
        ("A", [_bar(i.span, COLOUR_A) for each in episodes for i in each.a]),
        ("B", [_bar(i.span, COLOUR_B) for each in episodes for i in each.b]),
    ]
    if labelled:
        rows.insert(0, ("labelled", labelled))
    with mpl.rc_context(STYLE):
        scores = [(curves.b, COLOUR_B), (curves.a, COLOUR_A)]
        figure, axes = score_above_lanes(scores, curves, rows)
        shade(axes, curves, labelled)
        return as_svg(figure)


def scores_picture(agreement: Agreement) -> str | None:
    """Each dot a reading: its score by A to the right, by B upwards. None without any."""
    score_S2 = agreement.score_S2[:MAX_DOTS].astype(np.float64)
    if not len(score_S2):
        return None
    score_S2 = np.maximum(score_S2, 1e-3)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 3.6))
        figure.subplots_adjust(left=0.14, right=0.97, top=0.97, bottom=0.13)
        axes = figure.subplots()
        axes.scatter(
            score_S2[:, 0],
            score_S2[:, 1],
            s=DOT,
            color=COLOURS[COLOUR_A],
            alpha=0.4,
            linewidths=0,
        )
        low = 10 ** math.floor(math.log10(float(score_S2.min())))
        high = max(2.0, 1.3 * float(score_S2.max()))
        for draw in (axes.axhline, axes.axvline):
            draw(1.0, color=COLOURS["incident"], linewidth=0.9, linestyle=(0, (5, 3)))
        for axis, set_scale, set_limits in (
            (axes.xaxis, axes.set_xscale, axes.set_xlim),
            (axes.yaxis, axes.set_yscale, axes.set_ylim),
        ):
            set_scale("log")
            set_limits(low, high)
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("score by A")
        axes.set_ylabel("score by B")
        return as_svg(figure)


def _bar(span: Span, colour: str) -> Bar:
    return Bar(span.begin_s, span.end_s, colour)
