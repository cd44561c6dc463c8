"""One unit through a detector, piece by piece: curves to draw, and what stands behind."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.detector.artifact import LoadedDetector
from pipeline.events import Span
from pipeline.records import BoolArray, FloatArray, IntArray, Scores, TimeArray
from pipeline.score import Scorer
from pipeline.window import Windows, cut_windows
from trainer.envelope import Envelope, EnvelopeBuilder
from trainer.incidents import Incident, UnitIncidents, within

MAX_CHUNK_VALUES = 2**20
MAX_CHUNK_ROWS = 2**14
"""Readings scored at a time, so that memory does not grow with the file."""
OVERVIEW_BINS = 420
ZOOM_BINS = 240
MAX_COUNTED_SCORE = 10.0
"""A window counts for no more than this when sensors are ranked by their part in it."""


@dataclass(frozen=True, slots=True)
class UnitReadings:
    """N readings of one unit, in the order of time."""

    unit: str
    time_s_N: TimeArray
    values_NF: FloatArray
    """In the order of the detector's sensors. NaN where missing."""
    label_N: BoolArray

    def __len__(self) -> int:
        return len(self.time_s_N)

    def step_s(self) -> float:
        """Median time between two readings, in seconds; 0.0 if there is none."""
        return float(np.median(np.diff(self.time_s_N))) if len(self) > 1 else 0.0


class Curves(NamedTuple):
    """A stretch of one unit, ready to draw."""

    first_s: float
    last_s: float
    score: Envelope
    """One curve; 1.0 is the threshold."""
    observed: Envelope
    """F curves, in the sensors' own units."""
    expected: Envelope


class EventReview(NamedTuple):
    """One labelled event as the detector saw it."""

    span: Span
    first: int
    last: int
    """Its readings are `[first, last)` of its unit's."""
    peak_score: float
    """NaN if none of its readings ended a full window."""
    share_F: FloatArray
    """Each sensor's part in its scores, summing to 1 (to 0 without any)."""


@dataclass(frozen=True, slots=True)
class UnitReview:
    """One unit: its curves, events and incidents."""

    unit: str
    n_readings: int
    n_unlabelled: int
    step_s: float
    curves: Curves
    events: list[EventReview]
    incidents: list[Incident]
    share_F: FloatArray
    """Each sensor's part in what was unusual: above the threshold, or labelled."""


class Reviewer:
    """Puts units through one detector."""

    def __init__(self, loaded: LoadedDetector, scorer: Scorer) -> None:
        self._loaded = loaded
        self._scorer = scorer
        self._length = loaded.detector.window
        self._n_sensors = len(loaded.detector.sensors)
        by_values = MAX_CHUNK_VALUES // self._n_sensors
        self._chunk_rows = max(self._length, min(MAX_CHUNK_ROWS, by_values))

    def review(
        self, readings: UnitReadings, told: list[Incident] | None = None
    ) -> UnitReview:
        """Score all of a unit's readings.

        Args:
            readings: at least one.
            told: the incidents of all units, where alerts told of them; None computes
                this unit's from the scores.
        """
        edges = np.flatnonzero(np.diff(readings.label_N, prepend=False, append=False))
        bounds_E2 = edges.reshape(-1, 2)
        n_events = len(bounds_E2)
        event_N = np.full(len(readings), n_events)
        for event, (first, last) in enumerate(bounds_E2.tolist()):
            event_N[first:last] = event
        # The row after the last event's is of the readings outside all of them.
        peak_E = np.full(n_events + 1, np.nan, dtype=np.float32)
        error_EF = np.zeros((n_events + 1, self._n_sensors))
        unusual_F = np.zeros(self._n_sensors)
        computed = UnitIncidents(readings.unit, self._loaded)
        builders = self._builders(readings, 0, len(readings), OVERVIEW_BINS)
        for rows, windows, scores in self._scored(readings, 0, len(readings)):
            builders.add(readings, rows, scores)
            newest = slice(rows.stop - len(windows), rows.stop)
            if told is None:
                computed.add(readings.time_s_N[newest], windows, scores)
            event_B = event_N[newest]
            counted_B = np.minimum(scores.score_B, MAX_COUNTED_SCORE)[:, None]
            error_BF = counted_B * scores.contribution_BF
            is_unusual_B = (scores.score_B >= 1.0) | (event_B < n_events)
            np.fmax.at(peak_E, event_B, scores.score_B)
            np.add.at(error_EF, event_B, error_BF)
            unusual_F += error_BF[is_unusual_B].sum(axis=0)
        first_s, last_s = float(readings.time_s_N[0]), float(readings.time_s_N[-1])
        incidents = computed.incidents() if told is None else told
        return UnitReview(
            unit=readings.unit,
            n_readings=len(readings),
            n_unlabelled=int((~readings.label_N).sum()),
            step_s=readings.step_s(),
            curves=builders.curves(),
            events=_events(readings, bounds_E2, peak_E, error_EF),
            incidents=within(incidents, readings.unit, first_s, last_s),
            share_F=_shares(unusual_F if unusual_F.any() else error_EF.sum(axis=0)),
        )

    def zoom(
        self, readings: UnitReadings, first: int, last: int
    ) -> tuple[Curves, FloatArray]:
        """The readings `[first, last)` and as much again on both sides.

        Returns:
            The curves, and each sensor's part in the scores of `[first, last)`.
        """
        margin = max(2 * self._length, (last - first) // 2)
        begin, end = max(0, first - margin), min(len(readings), last + margin)
        builders = self._builders(readings, begin, end, ZOOM_BINS)
        error_F = np.zeros(self._n_sensors)
        for rows, windows, scores in self._scored(readings, begin, end):
            builders.add(readings, rows, scores)
            row_B = np.arange(rows.stop - len(windows), rows.stop)
            is_inside_B = (row_B >= first) & (row_B < last)
            counted_B = np.minimum(scores.score_B, MAX_COUNTED_SCORE)[:, None]
            error_F += (counted_B * scores.contribution_BF)[is_inside_B].sum(axis=0)
        return builders.curves(), _shares(error_F)

    def _builders(
        self, readings: UnitReadings, begin: int, end: int, n_bins: int
    ) -> "_Builders":
        first_s, last_s = readings.time_s_N[[begin, end - 1]].tolist()
        return _Builders(first_s, last_s, n_bins, self._n_sensors, readings.step_s())

    def _scored(
        self, readings: UnitReadings, begin: int, end: int
    ) -> Iterator[tuple[slice, Windows, Scores]]:
        """Readings `[begin, end)` in pieces, with the windows that end with them.

        A unit's first T-1 readings end no window.
        """
        for first in range(begin, end, self._chunk_rows):
            last = min(first + self._chunk_rows, end)
            oldest = max(first - self._length + 1, 0)
            windows = cut_windows(readings.values_NF[oldest:last], self._length)
            yield slice(first, last), windows, self._scorer.score(windows)


class _Builders:
    """The three envelopes of one stretch."""

    def __init__(
        self, first_s: float, last_s: float, n_bins: int, n_sensors: int, step_s: float
    ) -> None:
        self._span_s = (first_s, last_s)
        self._score, self._observed, self._expected = (
            EnvelopeBuilder(first_s, last_s, n_bins, n_curves, step_s)
            for n_curves in (1, n_sensors, n_sensors)
        )

    def add(self, readings: UnitReadings, rows: slice, scores: Scores) -> None:
        time_s_N = readings.time_s_N[rows]
        self._observed.add(time_s_N, readings.values_NF[rows])
        self._score.add(time_s_N, _padded(scores.score_B[:, None], len(time_s_N)))
        self._expected.add(time_s_N, _padded(scores.expected_BF, len(time_s_N)))

    def curves(self) -> Curves:
        return Curves(
            *self._span_s,
            score=self._score.envelope(),
            observed=self._observed.envelope(),
            expected=self._expected.envelope(),
        )


def _events(
    readings: UnitReadings,
    bounds_E2: IntArray,
    peak_E: FloatArray,
    error_EF: npt.NDArray[np.float64],
) -> list[EventReview]:
    events = []
    for event, (first, last) in enumerate(bounds_E2.tolist()):
        begin_s, end_s = readings.time_s_N[[first, last - 1]].tolist()
        span = Span(readings.unit, begin_s, end_s)
        peak, share_F = float(peak_E[event]), _shares(error_EF[event])
        events.append(EventReview(span, first, last, peak, share_F))
    return events


def _shares(error_F: npt.NDArray[np.float64]) -> FloatArray:
    return (error_F / max(float(error_F.sum()), 1e-30)).astype(np.float32)


def _padded(values_BC: FloatArray, n_rows: int) -> FloatArray:
    """With rows of NaN before, for readings that end no window."""
    unknown = np.full((n_rows - len(values_BC), values_BC.shape[1]), np.nan, np.float32)
    return np.concatenate([unknown, values_BC])
