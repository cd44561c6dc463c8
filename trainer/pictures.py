"""The report's pictures of scores and of sensors over time."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.pages.drawing import (
    COLOURS,
    DAY_S,
    STYLE,
    Bar,
    as_svg,
    columns,
    draw_scores,
    line,
    score_above_lanes,
    shade,
    time_axis,
)
from pipeline.pages.envelope import Envelope
from trainer.review import Curves


def timeline(curves: Curves, events: Sequence[Bar], incidents: Sequence[Bar]) -> str:
    """Score against threshold, and below it the labelled events and the incidents."""
    rows = [("labelled", events)] if events else []
    rows.append(("incidents", incidents))
    with mpl.rc_context(STYLE):
        figure, score = score_above_lanes([(curves.score, "observed")], curves, rows)
        shade(score, curves, events)
        return as_svg(figure)


def score_picture(curves: Curves, bars: Sequence[Bar]) -> str:
    """Score against threshold in a small picture."""
    with mpl.rc_context(STYLE):
        figure, axes = _small()
        draw_scores(axes, [(curves.score, "observed")])
        shade(axes, curves, bars)
        time_axis(axes, curves, 5)
        return as_svg(figure)


def sensor_picture(curves: Curves, sensor: int, bars: Sequence[Bar]) -> str:
    """One sensor: what came, and what the model expected, in the sensor's own unit."""
    with mpl.rc_context(STYLE):
        figure, axes = _small()
        line(axes, curves.observed, sensor, "observed")
        _band(axes, curves.expected, sensor, "expected")
        shade(axes, curves, bars)
        # Room for the strip of incidents above the curves.
        axes.margins(y=0.12)
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        time_axis(axes, curves, 5)
        return as_svg(figure)


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.4, 1.5))
    figure.subplots_adjust(left=0.115, right=0.96, top=0.91, bottom=0.26)
    return figure, figure.subplots()


def _band(axes: Axes, curve: Envelope, column: int, colour: str) -> None:
    low_K, high_K = columns(curve, column)
    days_K = curve.time_s_K / DAY_S
    if not np.isfinite(low_K).any():
        return
    face, edge = (COLOURS[colour], 0.45), COLOURS[colour]
    axes.fill_between(days_K, low_K, high_K, facecolor=face, edgecolor=edge, linewidth=0.9)
