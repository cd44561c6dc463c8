"""What the report shows of how a detector sees windows: scores, windows, a map of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.latent import Encoder, reconstructed
from pipeline.drift.score_bins import N_BINS, score_counts
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.window import Windows, cut_windows
from trainer.latent.plot import main_directions

N_DOTS = 1_200
"""Windows in the map, at most twice as many."""
MIN_DOTS = 100
MAX_SAMPLED_VALUES = 2**23
"""Of the map's windows together: of large windows fewer are taken."""
N_SENSORS = 6
"""Drawn of a window, those with the largest part in the highest score."""


class WindowView(NamedTuple):
    """One window, and what the detector made of it."""

    unit: str
    time_s: float
    """Of the newest reading."""
    score: float
    observed_TF: FloatArray
    """In the sensors' own units, NaN where missing."""
    expected_TF: FloatArray
    share_F: FloatArray
    """Each sensor's part in the score."""


class Dots(NamedTuple):
    """Windows by the two main directions of their latent vectors."""

    xy_B2: FloatArray
    is_over_B: BoolArray
    """At or above the threshold."""
    is_labelled_B: BoolArray


@dataclass(frozen=True, slots=True)
class Portrait:
    """What a detector makes of some readings."""

    n_normal_K: IntArray
    """Windows by score, see `score_counts`: those whose newest reading is not labelled."""
    n_labelled_K: IntArray
    usual: WindowView
    """Of the windows that were looked at closely, one of a usual score."""
    worst: WindowView
    """The one with the highest score of all."""
    dots: Dots | None
    """None if there are too few windows to make a map of."""

    @property
    def sensors(self) -> list[int]:
        """Those to draw, by their part in the worst window."""
        largest = np.argsort(-self.worst.share_F, kind="stable")[:N_SENSORS]
        return [int(f) for f in largest]


class ScoredWindows(NamedTuple):
    """B windows of one unit, in order, and what was said of them."""

    unit: str
    windows: Windows
    time_s_B: TimeArray
    """Of each window's newest reading."""
    score_B: FloatArray
    share_BF: FloatArray
    """Each sensor's part in the score."""
    is_labelled_B: BoolArray
    """Whether the newest reading is labelled."""

    def take(self, at: IntArray) -> "ScoredWindows":
        """Those at these places, with no more readings than they need."""
        start_B, length = self.windows.start_B[at], self.windows.length
        values_BTF = Windows(self.windows.flat_MF, start_B, length).gather(slice(None))
        flat_MF = values_BTF.reshape(-1, values_BTF.shape[2])
        return ScoredWindows(
            self.unit,
            Windows(flat_MF, length * np.arange(len(at)), length),
            self.time_s_B[at],
            self.score_B[at],
            self.share_BF[at],
            self.is_labelled_B[at],
        )


class PortraitBuilder:
    """Takes windows as they are scored. Owns counts, the worst window and an even sample,
    whose sizes do not grow with the windows."""

    def __init__(self, loaded: LoadedDetector) -> None:
        self._detector = loaded.detector
        self._encoder = Encoder(loaded.detector)
        self._n_normal_K: IntArray = np.zeros(N_BINS, dtype=np.int64)
        self._n_labelled_K: IntArray = np.zeros(N_BINS, dtype=np.int64)
        self._worst: ScoredWindows | None = None
        n_values = loaded.detector.window * len(loaded.detector.sensors)
        self._n_dots = min(N_DOTS, max(MAX_SAMPLED_VALUES // n_values, 2))
        self._every = 1
        self._n_seen = 0
        self._sampled: list[tuple[ScoredWindows, FloatArray]] = []
        """Single windows, and their latent vectors."""

    def add(self, scored: ScoredWindows) -> None:
        """Take one unit's next windows."""
        if not len(scored.windows):
            return
        score_B, is_labelled_B = scored.score_B, scored.is_labelled_B
        self._n_normal_K += score_counts(score_B[~is_labelled_B])
        self._n_labelled_K += score_counts(score_B[is_labelled_B])
        top = int(score_B.argmax())
        if self._worst is None or score_B[top] > self._worst.score_B[0]:
            self._worst = scored.take(np.array([top]))
        at = np.arange(-self._n_seen % self._every, len(score_B), self._every)
        self._n_seen += len(score_B)
        if not len(at):
            return
        some = scored.take(at)
        latents = self._encoder.latents(some.windows, self._lines(scored.unit, len(at)))
        self._sampled += [
            (some.take(np.array([index])), latent_L)
            for index, latent_L in enumerate(latents.mean_BL)
        ]
        while len(self._sampled) > 2 * self._n_dots:
            self._sampled = self._sampled[::2]
            self._every *= 2

    def portrait(self, usual_quantile: float = 0.5) -> Portrait:
        """What came of it.

        Args:
            usual_quantile: where among the scores the usual window's lies, 0 to 1.

        Raises:
            ValueError: there was no window.
        """
        if self._worst is None:
            raise ValueError("expected one window at least")
        sampled = [each for each, _ in self._sampled]
        normal = [each for each in sampled if not each.is_labelled_B[0]] or sampled
        normal.sort(key=lambda each: float(each.score_B[0]))
        return Portrait(
            n_normal_K=self._n_normal_K,
            n_labelled_K=self._n_labelled_K,
            usual=self._view(normal[round(usual_quantile * (len(normal) - 1))]),
            worst=self._view(self._worst),
            dots=self._dots() if len(sampled) >= MIN_DOTS else None,
        )

    def _dots(self) -> Dots:
        xy_B2, _ = main_directions(np.stack([latent_L for _, latent_L in self._sampled]))
        return Dots(
            xy_B2,
            np.array([each.score_B[0] >= 1.0 for each, _ in self._sampled]),
            np.array([each.is_labelled_B[0] for each, _ in self._sampled]),
        )

    def _view(self, one: ScoredWindows) -> WindowView:
        lines_1 = self._lines(one.unit, 1)
        [expected_TF] = reconstructed(self._detector, one.windows, lines_1)
        return WindowView(
            one.unit,
            float(one.time_s_B[0]),
            float(one.score_B[0]),
            one.windows.flat_MF,
            expected_TF,
            one.share_BF[0],
        )

    def _lines(self, unit: str, n: int) -> IntArray:
        return np.full(n, self._detector.scaling.line(unit))


def portrait_of_history(
    loaded: LoadedDetector, golden_NF: FloatArray, whole_BTF: FloatArray | None
) -> Portrait:
    """Where there is no data: of what the detector keeps of its history.

    Args:
        loaded: the detector.
        golden_NF: its golden readings, the stretch around the highest held-out score.
        whole_BTF: scaled training windows, each looked at by itself; None: there are none.
    """
    detector = loaded.detector
    scores = detector.score_series(golden_NF)
    n_windows = len(scores.score_B)
    builder = PortraitBuilder(loaded)
    builder.add(
        ScoredWindows(
            "",
            cut_windows(golden_NF, detector.window),
            np.full(n_windows, np.nan),
            scores.score_B,
            scores.contribution_BF,
            np.zeros(n_windows, dtype=np.bool_),
        )
    )
    if whole_BTF is None:
        # Half of the stretch is far from usual.
        return builder.portrait(usual_quantile=0.0)
    n_windows, length, n_sensors = whole_BTF.shape
    flat_MF = detector.scaling.unscaled(whole_BTF.reshape(-1, n_sensors))
    windows = Windows(flat_MF, length * np.arange(n_windows), length)
    alone = detector.score(
        detector.measure(windows), np.arange(n_windows), n_windows, detector.memory()
    )
    builder.add(
        ScoredWindows(
            "",
            windows,
            np.full(n_windows, np.nan),
            alone.score_B,
            alone.contribution_BF,
            np.zeros(n_windows, dtype=np.bool_),
        )
    )
    return builder.portrait()
