"""The picture of precision against recall: one line per method."""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.pages.drawing import COLOURS, STYLE, as_svg
from pipeline.records import BoolArray
from trainer.ranking import Score, precision_recall

N_POINTS = 300
"""Of a line, whatever the number of thresholds."""


class Point(NamedTuple):
    """Where alerts stand, given their rule."""

    precision: float
    recall: float


def precision_recall_picture(
    label_N: BoolArray, score_by_colour: Mapping[str, Score], alerts: Point | None
) -> str:
    """Precision against recall at every threshold.

    Args:
        label_N: whether each reading is anomalous; at least one is.
        score_by_colour: each method's scores, under a key of `COLOURS`; the last is drawn
            on top.
        alerts: the detector's own, drawn as a dot.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.4))
        figure.subplots_adjust(left=0.085, right=0.98, top=0.97, bottom=0.13)
        axes = figure.subplots()
        share = float(label_N.mean())
        axes.axhline(share, color=COLOURS["false"], linewidth=1, linestyle=(0, (5, 3)))
        for colour, score_N in score_by_colour.items():
            recall, precision = _thinned(label_N, score_N)
            axes.plot(recall, precision, color=COLOURS[colour], linewidth=1.3)
        if alerts is not None:
            axes.plot(*reversed(alerts), "o", color=COLOURS["incident"], markersize=6)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("recall: share of labelled readings above the threshold")
        axes.set_ylabel("precision")
        return as_svg(figure)


def _thinned(label_N: BoolArray, score_N: Score) -> tuple[Score, Score]:
    """Recall and precision at steps of recall; where a step is reached, at its first."""
    precision, recall = precision_recall(label_N, score_N)
    at = np.searchsorted(recall, np.linspace(0.0, 1.0, N_POINTS), side="left")
    return recall[np.unique(at)], precision[np.unique(at)]
