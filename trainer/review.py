"""One unit through a detector, piece by piece: curves to draw, and what stands behind."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.alert_log import Incident
from pipeline.detector.artifact import LoadedDetector
from pipeline.events import Span, overlap, usual_step_s, watched_s
from pipeline.pages.envelope import Envelope, EnvelopeBuilder
from pipeline.records import BoolArray, FloatArray, IntArray, Readings, Scores, TimeArray
from pipeline.score import Scorer
from pipeline.window import UNIT_IDLE_S, LiveWindows, SlidingWindows
from trainer.history import UnitReadings
from trainer.incidents import UnitIncidents
from trainer.portrait import PortraitBuilder, ScoredWindows
from trainer.quality import QualityTally
from trainer.ranking import vus_window

MAX_CHUNK_VALUES = 2**20
MAX_CHUNK_ROWS = 2**14
"""Readings scored at a time, so that memory does not grow with the file."""
OVERVIEW_BINS = 420
ZOOM_BINS = 240
MAX_COUNTED_SCORE = 10.0
"""A window counts for no more than this when sensors are ranked by their part in it."""


class Piece(NamedTuple):
    """Some of a unit's readings, as the worker's steps saw them."""

    readings: Readings
    windows: LiveWindows
    scores: Scores
    row_B: IntArray
    """Where each window's newest reading stands among the unit's."""


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
    n_scored: int
    watched_s: float
    """How long what was scored and is not labelled was watched."""
    step_s: float
    curves: Curves
    events: list[EventReview]
    incidents: list[Incident]
    share_F: FloatArray
    """Each sensor's part in what was unusual: above the threshold, or labelled."""


class Reviewer:
    """Puts units through one detector."""

    def __init__(
        self,
        loaded: LoadedDetector,
        scorer: Scorer,
        portrait: PortraitBuilder,
        quality: QualityTally,
    ) -> None:
        """Args:
        loaded: the detector.
        scorer: the same detector's, on its device.
        portrait: is given all windows of the units that are reviewed.
        quality: is told of each of these units.
        """
        self._portrait = portrait
        self._quality = quality
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
            told: the unit's incidents, where alerts told of them; None computes them from
                the scores.
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
        is_scored_N = np.zeros(len(readings), dtype=np.bool_)
        score_N = np.zeros(len(readings))
        computed = UnitIncidents(self._loaded)
        builders = self._builders(readings, 0, len(readings), OVERVIEW_BINS)
        for piece in self._scored(readings, 0, len(readings)):
            scores = piece.scores
            builders.add(piece)
            if told is None:
                computed.add(piece.readings, piece.windows, scores)
            self._portrait.add(_scored_windows(readings, piece))
            is_scored_N[piece.row_B] = True
            score_N[piece.row_B] = scores.score_B
            event_B = event_N[piece.row_B]
            error_BF = _counted_errors(scores)
            is_unusual_B = (scores.score_B >= 1.0) | (event_B < n_events)
            np.fmax.at(peak_E, event_B, scores.score_B)
            np.add.at(error_EF, event_B, error_BF)
            unusual_F += error_BF[is_unusual_B].sum(axis=0)
        first_s, last_s = readings.time_s_N[[0, -1]].tolist()
        whole = Span(readings.unit, first_s, last_s)
        incidents = computed.incidents() if told is None else told
        self._quality.add(
            readings.label_N,
            score_N,
            _is_within(readings.time_s_N, incidents) & is_scored_N,
            readings.time_s_N,
            vus_window(readings.first_sensor_N),
        )
        return UnitReview(
            unit=readings.unit,
            n_readings=len(readings),
            n_scored=int(is_scored_N.sum()),
            watched_s=watched_s(readings.time_s_N[is_scored_N & ~readings.label_N]),
            step_s=usual_step_s(readings.time_s_N),
            curves=builders.curves(),
            events=_events(readings, bounds_E2, peak_E, error_EF),
            incidents=[i for i in incidents if overlap(whole, i.span)],
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
        for piece in self._scored(readings, begin, end):
            builders.add(piece)
            is_inside_B = (piece.row_B >= first) & (piece.row_B < last)
            error_F += _counted_errors(piece.scores)[is_inside_B].sum(axis=0)
        return builders.curves(), _shares(error_F)

    def _builders(
        self, readings: UnitReadings, begin: int, end: int, n_bins: int
    ) -> "_Builders":
        first_s, last_s = readings.time_s_N[[begin, end - 1]].tolist()
        step_s = usual_step_s(readings.time_s_N)
        return _Builders(first_s, last_s, n_bins, self._n_sensors, step_s)

    def _scored(self, readings: UnitReadings, begin: int, end: int) -> Iterator[Piece]:
        """Readings `[begin, end)` in pieces, through the worker's own steps.

        The readings before them fill the first window and what a score needs besides it,
        as after a restart.
        """
        sliding = SlidingWindows(self._length, self._n_sensors, UNIT_IDLE_S)
        self._scorer.forget(np.zeros(1, dtype=np.int64))
        oldest = max(begin - self._length + 1 - self._scorer.n_memory, 0)
        is_anew_N = np.diff(readings.time_s_N[oldest:end]) > UNIT_IDLE_S
        anew = oldest + 1 + np.flatnonzero(is_anew_N)
        bounds = {oldest, *range(begin, end, self._chunk_rows), *anew.tolist(), end}
        for first, last in pairwise(sorted(bounds)):
            columns = readings.columns(slice(first, last))
            row_N = np.zeros(len(columns), dtype=np.int64)
            [windows] = sliding.extend(columns, row_N, n_rows=1)
            self._scorer.forget(windows.anew)
            scores = self._scorer.score(windows.windows, windows.row_B, [readings.unit])
            if first >= begin:
                yield Piece(columns, windows, scores, first + windows.reading_B)


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

    def add(self, piece: Piece) -> None:
        time_s_N, n_rows = piece.readings.time_s_N, len(piece.readings)
        reading_B, scores = piece.windows.reading_B, piece.scores
        self._observed.add(time_s_N, piece.readings.values_NF)
        self._score.add(time_s_N, _by_row(scores.score_B[:, None], reading_B, n_rows))
        self._expected.add(time_s_N, _by_row(scores.expected_BF, reading_B, n_rows))

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


def _scored_windows(readings: UnitReadings, piece: Piece) -> ScoredWindows:
    return ScoredWindows(
        readings.unit,
        piece.windows.windows,
        readings.time_s_N[piece.row_B],
        piece.scores.score_B,
        piece.scores.contribution_BF,
        readings.label_N[piece.row_B],
    )


def _is_within(time_s_N: TimeArray, incidents: list[Incident]) -> BoolArray:
    """Whether each reading came while an incident was open: not the one that closed it."""
    is_within_N = np.zeros(len(time_s_N), dtype=np.bool_)
    for incident in incidents:
        span_s = (incident.span.begin_s, incident.span.end_s)
        first, behind = np.searchsorted(time_s_N, span_s, side="left")
        is_within_N[first:behind] = True
    return is_within_N


def _shares(error_F: npt.NDArray[np.float64]) -> FloatArray:
    return (error_F / max(float(error_F.sum()), 1e-30)).astype(np.float32)


def _counted_errors(scores: Scores) -> FloatArray:
    """Each sensor's part in each window's score."""
    counted_B = np.minimum(scores.score_B, MAX_COUNTED_SCORE)
    return counted_B[:, None] * scores.contribution_BF


def _by_row(values_BC: FloatArray, reading_B: IntArray, n_rows: int) -> FloatArray:
    """One row per reading, of NaN where it ends no window."""
    values_NC = np.full((n_rows, values_BC.shape[1]), np.nan, dtype=np.float32)
    values_NC[reading_B] = values_BC
    return values_NC
