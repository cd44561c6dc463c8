"""What pictures are drawn with: curves over time, marks, and SVG that takes its colours
from the page around it.

No text that comes from outside is drawn: names stand in the page, where they are escaped.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.pages.envelope import Envelope

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


class Stretch(Protocol):
    """The time that a picture shows, seconds since the epoch."""

    @property
    def first_s(self) -> float: ...
    @property
    def last_s(self) -> float: ...


def score_above_lanes(
    curves: Sequence[tuple[Envelope, str]],
    stretch: Stretch,
    rows: Sequence[tuple[str, Sequence[Bar]]],
) -> tuple[Figure, Axes]:
    """Scores against the threshold, and below them a lane of bars for each row.

    Args:
        curves: scores, each with its colour; the last one on top.
        stretch: the time to show.
        rows: of bars, the uppermost first: name, which is ours, and bars.
    """
    has_more = len(rows) > 2
    figure = Figure(figsize=(10.5, 3.5 if has_more else 3.2))
    figure.subplots_adjust(left=0.075, right=0.99, top=0.97, bottom=0.125)
    ratios = (4.2, 1.5 if has_more else 1)
    score, lanes = figure.subplots(
        2, 1, sharex=True, height_ratios=ratios, gridspec_kw={"hspace": 0.08}
    )
    draw_scores(score, curves)
    score.set_ylabel("score (1 is the threshold)")
    score.yaxis.set_label_coords(-0.045, 0.5)
    for y, (_, bars) in enumerate(reversed(rows)):
        for colour, spans in by_colour(stretch, bars).items():
            lanes.broken_barh(spans, (y - 0.3, 0.6), color=COLOURS[colour], linewidth=0.8)
    lanes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    lanes.set_ylim(-0.6, len(rows) - 0.4)
    lanes.grid(False)
    lanes.tick_params(length=0)
    lanes.spines["left"].set_visible(False)
    time_axis(lanes, stretch, 10)
    score.tick_params(labelbottom=False, length=0)
    return figure, score


def draw_scores(axes: Axes, curves: Sequence[tuple[Envelope, str]]) -> None:
    """Scores on a scale of logarithms, with the threshold at 1.0."""
    for curve, colour in curves:
        line(axes, curve, 0, colour)
    axes.axhline(1.0, color=COLOURS["incident"], linewidth=0.9, linestyle=(0, (5, 3)))
    high = np.concatenate(
        [curve.high_KC[np.isfinite(curve.high_KC)] for curve, _ in curves]
    )
    low = np.concatenate([curve.low_KC[np.isfinite(curve.low_KC)] for curve, _ in curves])
    top = min(max(2.0, 1.5 * float(high.max(initial=1.0))), LARGEST)
    bottom = min(0.5, 0.9 * float(low.min(initial=0.5)))
    axes.set_yscale("log")
    axes.set_ylim(max(bottom, top * 1e-5, SMALLEST_SCORE), top)
    few = top < 100
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)


def line(axes: Axes, curve: Envelope, column: int, colour: str) -> None:
    """Up and down between each bin's smallest and largest value."""
    low_K, high_K = columns(curve, column)
    x_2k = np.repeat(curve.time_s_K / DAY_S, 2)
    y_2k = np.column_stack([low_K, high_K]).ravel()
    # A bin with one value needs one point.
    keep = np.column_stack([np.ones_like(low_K, dtype=bool), low_K != high_K]).ravel()
    axes.plot(x_2k[keep], y_2k[keep], color=COLOURS[colour], linewidth=0.8)


def columns(
    curve: Envelope, column: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Smallest and largest values of one curve, cut to what a picture can show."""
    low_K = curve.low_KC[:, column].astype(np.float64)
    high_K = curve.high_KC[:, column].astype(np.float64)
    return low_K.clip(-LARGEST, LARGEST), high_K.clip(-LARGEST, LARGEST)


def merged(spans: Sequence[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Spans in order of time, those at most `gap_s` apart joined to one."""
    joined: list[tuple[float, float]] = []
    for begin_s, end_s in sorted(spans):
        if joined and begin_s - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((begin_s, end_s))
    return joined


def by_colour(
    stretch: Stretch, bars: Sequence[Bar]
) -> dict[str, list[tuple[float, float]]]:
    """Per colour, begin and length in days, cut to the picture and joined where close."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for bar in bars:
        begin_s, end_s = max(bar.begin_s, stretch.first_s), min(bar.end_s, stretch.last_s)
        if begin_s <= end_s:
            spans.setdefault(bar.colour, []).append((begin_s, end_s))
    gap_s = (stretch.last_s - stretch.first_s) * SPAN_SHARE
    return {
        colour: [(a / DAY_S, (b - a) / DAY_S) for a, b in merged(each, gap_s)]
        for colour, each in spans.items()
    }


def shade(axes: Axes, stretch: Stretch, bars: Sequence[Bar]) -> None:
    """Labelled events over the whole height, incidents as a strip along the top."""
    across = axes.get_xaxis_transform()
    for colour, spans in by_colour(stretch, bars).items():
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


def time_axis(axes: Axes, stretch: Stretch, n_ticks: int) -> None:
    """Dates and times along the lower edge, in UTC."""
    locator = AutoDateLocator(minticks=2, maxticks=n_ticks)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    last_s = max(stretch.last_s, stretch.first_s + SHORTEST_S)
    axes.set_xlim(stretch.first_s / DAY_S, last_s / DAY_S)


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
