"""The report's pictures: curves to SVG that takes its colours from the page around it.

No text that comes from outside is drawn: names stand in the page, where they are escaped.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from trainer.envelope import Envelope
from trainer.review import Curves

# Each stands for a variable of the page's style sheet, so that pictures follow it from
# light to dark.
COLOURS = {
    "ink": "#000001",
    "grid": "#000002",
    "observed": "#000003",
    "expected": "#000004",
    "event": "#000005",
    "incident": "#000006",
    "false": "#000007",
}
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.formatter.limits": (-3, 4),
    "axes.edgecolor": COLOURS["grid"],
    "axes.grid": True,
    "axes.labelcolor": COLOURS["ink"],
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 8,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.color": COLOURS["ink"],
    "text.parse_math": False,
    "xtick.color": COLOURS["grid"],
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.color": COLOURS["grid"],
    "ytick.labelcolor": COLOURS["ink"],
}
DAY_S = 86_400.0
SPAN_SHARE = 1 / 400
"""Spans closer than this share of the picture's width are drawn as one."""
SHORTEST_S = 0.02
"""A time axis is no shorter than this: times are a float of days, and run out of digits."""
LARGEST = 1e30
SMALLEST_SCORE = 1e-3


class Bar(NamedTuple):
    """A stretch of time to mark, seconds since the epoch, and how."""

    begin_s: float
    end_s: float
    colour: str
    """A key of `COLOURS`."""


def timeline(curves: Curves, events: Sequence[Bar], incidents: Sequence[Bar]) -> str:
    """Score against threshold, and below it the labelled events and the incidents."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.2))
        figure.subplots_adjust(left=0.075, right=0.99, top=0.97, bottom=0.125)
        score, lanes = figure.subplots(
            2, 1, sharex=True, height_ratios=(4.2, 1), gridspec_kw={"hspace": 0.08}
        )
        _draw_score(score, curves)
        score.set_ylabel("score (1 is the threshold)")
        score.yaxis.set_label_coords(-0.045, 0.5)
        _shade(score, curves, events)
        rows = [("labelled", events), ("incidents", incidents)] if events else []
        for y, (_, bars) in enumerate(reversed(rows or [("incidents", incidents)])):
            for colour, spans in _by_colour(curves, bars).items():
                lanes.broken_barh(
                    spans, (y - 0.3, 0.6), color=COLOURS[colour], linewidth=0.8
                )
        names = [name for name, _ in reversed(rows)] or ["incidents"]
        lanes.set_yticks(range(len(names)), names)
        lanes.set_ylim(-0.6, len(names) - 0.4)
        lanes.grid(False)
        lanes.tick_params(length=0)
        lanes.spines["left"].set_visible(False)
        _time_axis(lanes, curves, 10)
        score.tick_params(labelbottom=False, length=0)
        return as_svg(figure)


def score_picture(curves: Curves, bars: Sequence[Bar]) -> str:
    """Score against threshold in a small picture."""
    with mpl.rc_context(STYLE):
        figure, axes = _small()
        _draw_score(axes, curves)
        _shade(axes, curves, bars)
        _time_axis(axes, curves, 5)
        return as_svg(figure)


def sensor_picture(curves: Curves, sensor: int, bars: Sequence[Bar]) -> str:
    """One sensor: what came, and what the model expected, in the sensor's own unit."""
    with mpl.rc_context(STYLE):
        figure, axes = _small()
        _line(axes, curves.observed, sensor, "observed")
        _band(axes, curves.expected, sensor, "expected")
        _shade(axes, curves, bars)
        # Room for the strip of incidents above the curves.
        axes.margins(y=0.12)
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        _time_axis(axes, curves, 5)
        return as_svg(figure)


def merged(spans: Sequence[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Spans in order of time, those at most `gap_s` apart joined to one."""
    joined: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((begin_s, end_s))
    return joined


def _small() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.4, 1.5))
    figure.subplots_adjust(left=0.115, right=0.96, top=0.91, bottom=0.26)
    return figure, figure.subplots()


def _draw_score(axes: Axes, curves: Curves) -> None:
    _line(axes, curves.score, 0, "observed")
    axes.axhline(1.0, color=COLOURS["incident"], linewidth=0.9, linestyle=(0, (5, 3)))
    score = curves.score.high_KC[np.isfinite(curves.score.high_KC)]
    low = curves.score.low_KC[np.isfinite(curves.score.low_KC)]
    top = min(max(2.0, 1.5 * float(score.max(initial=1.0))), LARGEST)
    bottom = min(0.5, 0.9 * float(low.min(initial=0.5)))
    axes.set_yscale("log")
    axes.set_ylim(max(bottom, top * 1e-5, SMALLEST_SCORE), top)
    few = top < 100
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def _line(axes: Axes, curve: Envelope, column: int, colour: str) -> None:
    """Up and down between each bin's smallest and largest value."""
    low_K, high_K = _columns(curve, column)
    x_2k = np.repeat(curve.time_s_K / DAY_S, 2)
    y_2k = np.column_stack([low_K, high_K]).ravel()
    # A bin with one value needs one point.
    keep = np.column_stack([np.ones_like(low_K, dtype=bool), low_K != high_K]).ravel()
    axes.plot(x_2k[keep], y_2k[keep], color=COLOURS[colour], linewidth=0.8)


def _band(axes: Axes, curve: Envelope, column: int, colour: str) -> None:
    low_K, high_K = _columns(curve, column)
    days_K = curve.time_s_K / DAY_S
    if not np.isfinite(low_K).any():
        return
    face, edge = (COLOURS[colour], 0.45), COLOURS[colour]
    axes.fill_between(days_K, low_K, high_K, facecolor=face, edgecolor=edge, linewidth=0.9)


def _columns(
    curve: Envelope, column: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    low_K = curve.low_KC[:, column].astype(np.float64)
    high_K = curve.high_KC[:, column].astype(np.float64)
    return low_K.clip(-LARGEST, LARGEST), high_K.clip(-LARGEST, LARGEST)


def _shade(axes: Axes, curves: Curves, bars: Sequence[Bar]) -> None:
    """Labelled events over the whole height, incidents as a strip along the top."""
    across = axes.get_xaxis_transform()
    for colour, spans in _by_colour(curves, bars).items():
        is_event = colour == "event"
        low, height = (0.0, 1.0) if is_event else (0.94, 0.06)
        axes.broken_barh(
            spans,
            (low, height),
            color=COLOURS[colour],
            alpha=0.28 if is_event else 1.0,
            linewidth=0.4,
            transform=across,
            zorder=0 if is_event else 3,
        )


def _by_colour(curves: Curves, bars: Sequence[Bar]) -> dict[str, list[tuple[float, float]]]:
    """Per colour, begin and length in days, cut to the picture and joined where close."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for bar in bars:
        begin_s, end_s = max(bar.begin_s, curves.first_s), min(bar.end_s, curves.last_s)
        if begin_s <= end_s:
            spans.setdefault(bar.colour, []).append((begin_s, end_s))
    gap_s = (curves.last_s - curves.first_s) * SPAN_SHARE
    return {
        colour: [(a / DAY_S, (b - a) / DAY_S) for a, b in merged(each, gap_s)]
        for colour, each in spans.items()
    }


def _time_axis(axes: Axes, curves: Curves, n_ticks: int) -> None:
    locator = AutoDateLocator(minticks=2, maxticks=n_ticks)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    last_s = max(curves.last_s, curves.first_s + SHORTEST_S)
    axes.set_xlim(curves.first_s / DAY_S, last_s / DAY_S)


def as_svg(figure: Figure) -> str:
    """The figure as an `svg` element for a page: small, and in the page's colours."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.patch.set_visible(False)
    FigureCanvasSVG(figure).print_figure(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", text)
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    # A tenth of a point is less than a pixel.
    text = re.sub(r'(?<= d=")[^"]*', lambda d: re.sub(r"(\.\d)\d+", r"\1", d[0]), text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r">\s+<", "><", re.sub(r"\s*\n\s*", " ", text))
