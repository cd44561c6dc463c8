"""The report's pictures of a detector itself: losses, scores, windows, a map."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from pipeline.drift.score_bins import SCORE_EDGES
from pipeline.pages.drawing import COLOURS, LARGEST, STYLE, as_svg
from pipeline.records import FloatArray, IntArray
from trainer.portrait import Dots

FAMILY_COLOURS = ("observed", "incident", "event", "expected", "false", "ink")


def loss_picture(curves: Mapping[str, Sequence[float]]) -> str:
    """The mean training loss of each family, from the first step to the last."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.3))
        figure.subplots_adjust(left=0.13, right=0.97, top=0.95, bottom=0.2)
        axes = figure.subplots()
        for index, curve in enumerate(curves.values()):
            colour = COLOURS[FAMILY_COLOURS[index % len(FAMILY_COLOURS)]]
            done_K = (np.arange(len(curve)) + 0.5) / len(curve)
            axes.plot(
                done_K, np.clip(curve, -LARGEST, LARGEST), color=colour, linewidth=1.2
            )
        axes.set_xlabel("share of the training done")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}"))
        axes.set_xlim(0, 1)
        axes.set_ylabel("loss")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return as_svg(figure)


def scores_picture(n_normal_K: IntArray, n_labelled_K: IntArray) -> str:
    """How many windows had which score, against the threshold, both axes by powers."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.3))
        figure.subplots_adjust(left=0.13, right=0.97, top=0.95, bottom=0.2)
        axes = figure.subplots()
        width_K, low_K = np.diff(SCORE_EDGES), SCORE_EDGES[:-1]
        for n_K, colour in ((n_normal_K, "observed"), (n_labelled_K, "event")):
            axes.bar(low_K, n_K, width_K, align="edge", color=COLOURS[colour], alpha=0.6)
        axes.axvline(1.0, color=COLOURS["incident"], linewidth=1.0, linestyle=(0, (5, 3)))
        axes.set_xscale("log")
        axes.set_yscale("log")
        held_K = np.flatnonzero(n_normal_K + n_labelled_K)
        first, last = (int(held_K[0]), int(held_K[-1])) if len(held_K) else (0, 1)
        axes.set_xlim(min(SCORE_EDGES[first], 0.5), max(SCORE_EDGES[last + 1], 2.0))
        axes.set_ylim(0.7, max(10.0, 1.5 * float((n_normal_K + n_labelled_K).max())))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("score (1 is the threshold)")
        axes.set_ylabel("readings")
        return as_svg(figure)


def window_picture(
    observed_T: FloatArray, expected_T: FloatArray, range_2: tuple[float, float]
) -> str:
    """One sensor in one window: measured, and as the networks reconstruct it.

    Args:
        observed_T: NaN where missing.
        expected_T: in the same unit.
        range_2: the lowest and the highest value to leave room for.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4, 1.3))
        figure.subplots_adjust(left=0.16, right=0.97, top=0.94, bottom=0.24)
        axes = figure.subplots()
        step_T = np.arange(1 - len(observed_T), 1)
        expected = COLOURS["expected"]
        _plot(axes, step_T, expected_T, expected, 2.4)
        _plot(axes, step_T, observed_T, COLOURS["observed"], 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        low, high = (min(max(end, -LARGEST), LARGEST) for end in range_2)
        margin = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - margin, high + margin)
        axes.margins(x=0.01)
        return as_svg(figure)


def map_picture(dots: Dots) -> str:
    """Windows as dots, those that look alike near each other."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.6))
        figure.subplots_adjust(left=0.03, right=0.97, top=0.97, bottom=0.05)
        axes = figure.subplots()
        xy_B2 = np.clip(dots.xy_B2, -LARGEST, LARGEST)
        plain_B = ~dots.is_labelled_B & ~dots.is_over_B
        for is_in_B, colour, size in (
            (plain_B, "observed", 5),
            (dots.is_labelled_B, "event", 14),
            (dots.is_over_B, "incident", 5),
        ):
            x_B, y_B = xy_B2[is_in_B].T
            axes.plot(
                x_B, y_B, ".", color=COLOURS[colour], markersize=size**0.5 * 1.6, alpha=0.7
            )
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        return as_svg(figure)


def _plot(
    axes: Axes, step_T: np.ndarray, value_T: FloatArray, colour: str, width: float
) -> None:
    clipped_T = np.clip(value_T.astype(np.float64), -LARGEST, LARGEST)
    axes.plot(step_T, clipped_T, color=colour, linewidth=width, marker=".", markersize=2)
