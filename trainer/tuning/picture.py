"""Pictures of a search: the criterion over trials, and against each setting."""

import math
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pipeline.pages.drawing import COLOURS, STYLE, as_svg
from trainer.tuning.rows import TrialRow
from trainer.tuning.space import FAMILY, RATE

LABELS = {
    "window": "readings in a window",
    "latent": "size of the latent vector",
    "learning_rate": "learning rate",
    "family": "",
}


def history_picture(rows: Sequence[TrialRow], default: float | None) -> str:
    """The criterion of each trial, and the best so far.

    Args:
        rows: at least one of them complete.
        default: the default settings' criterion, if it is known.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 2.9))
        figure.subplots_adjust(left=0.065, right=0.99, top=0.96, bottom=0.15)
        axes = figure.subplots()
        complete = [row for row in rows if row.value is not None]
        numbers = [row.number for row in complete]
        values = [row.value or 0.0 for row in complete]
        if default is not None:
            dashes = (0, (5, 3))
            axes.axhline(default, color=COLOURS["false"], linewidth=1, linestyle=dashes)
        last = max(row.number for row in rows)
        axes.step(
            [*numbers, last],
            [*np.maximum.accumulate(values), max(values)],
            where="post",
            color=COLOURS["expected"],
            linewidth=1.4,
        )
        _dots(axes, rows, lambda row: float(row.number))
        axes.set_xlabel("trial")
        axes.set_ylabel("criterion")
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.margins(x=0.02, y=0.12)
        return as_svg(figure)


def setting_picture(rows: Sequence[TrialRow], name: str) -> str:
    """The criterion against one setting.

    Args:
        rows: at least one of them complete.
        name: one of `SEARCHED`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 2.5))
        figure.subplots_adjust(left=0.125, right=0.97, top=0.95, bottom=0.19)
        axes = figure.subplots()
        if name == FAMILY:
            # The best family first.
            known = {row.choice.family for row in rows}
            names = sorted(known, key=lambda family: -_best(rows, family))
            _dots(axes, rows, lambda row: float(names.index(row.choice.family)))
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.grid(False, axis="x")
        else:
            _dots(axes, rows, lambda row: float(getattr(row.choice, name)))
            axes.set_xscale("log")
            _log_ticks(axes, [float(getattr(row.choice, name)) for row in rows], name)
            axes.set_xlabel(LABELS[name])
        axes.set_ylabel("criterion")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(y=0.12)
        return as_svg(figure)


def _best(rows: Sequence[TrialRow], family: str) -> float:
    values = [row.value for row in rows if row.choice.family == family]
    return max((value for value in values if value is not None), default=-1.0)


def _dots(axes: Axes, rows: Sequence[TrialRow], x_of: Callable[[TrialRow], float]) -> None:
    pruned = [row for row in rows if row.state == "pruned" and row.rung is not None]
    complete = [row for row in rows if row.value is not None]
    best = max(complete, key=lambda row: row.value or 0.0)
    for shown, colour, marker, size in (
        (pruned, "false", "x", 18),
        (complete, "observed", "o", 20),
        ([best], "incident", "o", 48),
    ):
        axes.scatter(
            [x_of(row) for row in shown],
            [row.best_known or 0.0 for row in shown],
            c=COLOURS[colour],
            marker=marker,
            s=size,
            linewidths=1.0,
            zorder=3,
        )


def _log_ticks(axes: Axes, values: Sequence[float], name: str) -> None:
    """A handful of round numbers: the usual ticks are too far apart."""
    low, high = min(values), max(values)
    axes.set_xlim(low / 1.15, high * 1.15)
    if name == RATE:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [m * 10.0**d for d in decades for m in (1, 2, 5)]
    else:
        ticks = [2.0**d for d in range(13)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
