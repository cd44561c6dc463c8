"""Latent vectors as a picture: their two main directions."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipeline.files import replaced_whole
from pipeline.plain_text import plain
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray

COLOURS = ("time", "unit", "label")
"""What dots may be coloured by."""

N_DOTS = 20_000
"""Drawn at most, taken evenly from all windows."""
N_NAMED = 9
"""Units with a colour of their own, those with the most dots; the others share grey."""
DAY_S = 86_400.0
STYLE: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "text.parse_math": False,
}


class LatentSample:
    """Owns an even sample of the windows of a stream, whatever its length.

    Every k-th window is kept; when there are too many, every other of these goes and k
    doubles.
    """

    def __init__(self, n_latent: int, colour: str | None) -> None:
        self.colour = colour
        self._every = 1
        self._n_seen = 0
        self.mean_BL: FloatArray = np.empty((0, n_latent), dtype=np.float32)
        self.time_s_B: TimeArray = np.empty(0)
        self.unit_B: IntArray = np.empty(0, dtype=np.int64)
        self.label_B: BoolArray | None = None

    def add(
        self,
        mean_BL: FloatArray,
        time_s_B: TimeArray,
        unit_B: IntArray,
        label_B: BoolArray | None,
    ) -> None:
        """Take the next windows of the stream."""
        at = slice(-self._n_seen % self._every, None, self._every)
        self._n_seen += len(mean_BL)
        self.mean_BL = np.concatenate([self.mean_BL, mean_BL[at]])
        self.time_s_B = np.concatenate([self.time_s_B, time_s_B[at]])
        self.unit_B = np.concatenate([self.unit_B, unit_B[at]])
        if label_B is not None:
            before_B = np.empty(0, bool) if self.label_B is None else self.label_B
            self.label_B = np.concatenate([before_B, label_B[at]])
        while len(self.mean_BL) > N_DOTS:
            self._every *= 2
            self.mean_BL, self.time_s_B = self.mean_BL[::2], self.time_s_B[::2]
            self.unit_B = self.unit_B[::2]
            self.label_B = None if self.label_B is None else self.label_B[::2]


def main_directions(mean_BL: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Latent vectors along the two directions in which they vary most.

    Returns:
        xy_B2, centred, and the share of all variance that each direction holds, shape (2,).

    Source: Pearson (1901), doi:10.1080/14786440109462720.
    """
    centred_BL = (mean_BL - mean_BL.mean(axis=0)).astype(np.float64)
    # Of the covariance, L x L however many windows there are; the largest come last.
    variance_L, axis_LL = np.linalg.eigh(centred_BL.T @ centred_BL)
    axis_LK = axis_LL[:, :-3:-1]
    # A direction has no sign of its own: its largest part points up.
    axis_LK = axis_LK * np.sign(_largest_parts(axis_LK))
    n_more = 2 - axis_LK.shape[1]
    xy_B2 = np.pad(centred_BL @ axis_LK, ((0, 0), (0, n_more))).astype(np.float32)
    share_2 = np.pad(variance_L[:-3:-1], (0, n_more)) / max(variance_L.sum(), 1e-30)
    return xy_B2, share_2.astype(np.float32)


def write_plot(path: Path, sample: LatentSample, units: list[str]) -> None:
    """Draw the sample: each dot a window, windows that look alike near each other.

    Args:
        path: ends in .png or .svg.
        sample: at least one window.
        units: the stream's.

    Raises:
        InputError: it cannot be written.
    """
    xy_B2, share_2 = main_directions(sample.mean_BL)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 6), layout="constrained")
        axes = figure.subplots()
        _draw(figure, axes, xy_B2, sample, units)
        for axis, share, name in (
            (axes.xaxis, share_2[0], "first"),
            (axes.yaxis, share_2[1], "second"),
        ):
            axis.set_label_text(f"{name} main direction ({share:.0%} of the variance)")
        axes.set_title(
            f"{len(xy_B2):,} windows: close together where they look alike", loc="left"
        )
        with replaced_whole(path, "the picture") as building:
            figure.savefig(building, format=path.suffix[1:], dpi=150)


def _draw(
    figure: Figure, axes: Axes, xy_B2: FloatArray, sample: LatentSample, units: list[str]
) -> None:
    dots: dict[str, Any] = {"s": 5, "alpha": 0.6, "linewidths": 0, "rasterized": True}
    colour = sample.colour or _default_colour(sample)
    if colour == "time":
        drawn = axes.scatter(
            xy_B2[:, 0], xy_B2[:, 1], c=sample.time_s_B / DAY_S, cmap="viridis", **dots
        )
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        bar = figure.colorbar(drawn, ax=axes, ticks=locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        bar.ax.yaxis.set_major_formatter(formatter)
        return
    for name, is_in_B, shade in _groups(colour, sample, units):
        axes.scatter(xy_B2[is_in_B, 0], xy_B2[is_in_B, 1], color=shade, label=name, **dots)
    axes.legend(markerscale=3, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _default_colour(sample: LatentSample) -> str:
    if sample.label_B is not None and sample.label_B.any():
        return "label"
    return "unit" if len(np.unique(sample.unit_B)) > 1 else "time"


def _groups(
    colour: str, sample: LatentSample, units: list[str]
) -> list[tuple[str, BoolArray, str]]:
    """What has a colour: its name, its dots, the colour."""
    if colour == "label":
        label_B = sample.label_B
        is_fault_B = np.zeros(len(sample.mean_BL), bool) if label_B is None else label_B
        return [("normal", ~is_fault_B, "tab:blue"), ("labelled", is_fault_B, "tab:red")]
    n_U = np.bincount(sample.unit_B, minlength=len(units))
    named = np.argsort(-n_U, kind="stable")[:N_NAMED].tolist()
    groups = [
        (
            _shown(units[unit]),
            sample.unit_B == unit,
            f"C{index if index < 7 else index + 1}",
        )
        for index, unit in enumerate(sorted(named))
    ]
    others_B = ~np.isin(sample.unit_B, named)
    if others_B.any():
        groups.insert(0, (f"{len(units) - len(named):,} other units", others_B, "0.75"))
    return groups


def _shown(name: str) -> str:
    # A legend leaves out what begins with an underscore.
    return f" {plain(name)[:24]}"


def _largest_parts(axis_LK: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each direction's largest part, whatever its sign, shape (K,)."""
    return np.asarray(axis_LK[np.abs(axis_LK).argmax(axis=0), np.arange(axis_LK.shape[1])])
