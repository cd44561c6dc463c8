"""How far recent readings and scores have moved from those a detector was made of."""

import math

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.scaling import POOLED
from pipeline.drift.psi import psi_of_counts
from pipeline.drift.recent import Recent
from pipeline.drift.score_bins import (
    N_BINS,
    SCORE_BINS,
    joined_bins,
    score_counts,
    shares_up_to,
)
from pipeline.drift.sensors import MIN_PSI_READINGS, Sensors
from pipeline.drift.still import StillRuns
from pipeline.metrics import WorkerMetrics
from pipeline.metrics_histogram import SCORE_BUCKETS
from pipeline.records import IntArray
from pipeline.settings import DriftSettings
from pipeline.turn import Stretch, Turn

MEASURE_EVERY_S = 0.1
"""Batches in between are not looked at: what drift costs is bounded by the second."""
SHOW_EVERY_S = 5.0
MAX_ROWS = 1_000
MAX_CELLS = 2**16
"""Readings, and their values, that are looked at in one batch; drawn at random."""


class Drift:
    """Owns the counts of recent readings and scores, of one detector, and shows them.

    Another detector has another `Drift`; see also `WorkerMetrics.forget_detector`. Of what
    too few recent readings tell nothing is shown, whatever was before.
    """

    def __init__(
        self, loaded: LoadedDetector, metrics: WorkerMetrics, settings: DriftSettings
    ) -> None:
        """Count from now on, and show what calibration promised."""
        manifest = loaded.manifest
        self._digest = loaded.digest
        self._scaling = loaded.detector.scaling
        self._metrics = metrics
        self._names = manifest.sensors[: settings.max_sensors]
        self._max_rows = max(min(MAX_ROWS, MAX_CELLS // len(manifest.sensors)), 1)
        self._random = np.random.default_rng(0)
        self._measured_at_s = self._shown_at_s = -math.inf
        self._sensors: Sensors | None = None
        if usual := manifest.training.usual:
            self._sensors = Sensors(usual, settings.period_s, settings.psi_period_s)
        self._runs = StillRuns(len(manifest.sensors))
        self._scores: Recent | None = None
        promised = metrics.false_alarms_promised.labels(self._digest)
        promised.set(manifest.threshold.expected_false_alarms_per_unit_day)
        counts_K = np.array(manifest.threshold.score_counts, dtype=np.int64)
        if len(counts_K) == N_BINS and counts_K.sum() > 0:
            self._joined_K = joined_bins(counts_K, SCORE_BINS)
            self._n_expected = int(counts_K.sum())
            self._expected_J = np.bincount(self._joined_K, counts_K) / self._n_expected
            self._scores = Recent(
                settings.psi_period_s, MIN_PSI_READINGS, len(self._expected_J)
            )
            usual_psi = metrics.score_psi_usual.labels(self._digest)
            usual_psi.set(manifest.threshold.score_psi)
            self._show_calibration(counts_K)

    def observe(self, turn: Turn, now_s: float) -> None:
        """Count some of a turn's readings. Of a replay only which sensors stand still.

        Args:
            turn: whose readings went into windows.
            now_s: of the monotonic clock.
        """
        if self._sensors is not None:
            for stretch in turn.stretches:
                self._runs.extend(stretch.windows)
        is_due = now_s - self._measured_at_s >= MEASURE_EVERY_S
        if turn.records.is_replay or not is_due:
            return
        for stretch in turn.stretches:
            if len(stretch.windows):
                self._measured_at_s = now_s
                self._count(turn, stretch, now_s)

    def show(self, now_s: float) -> None:
        """Show what is known, every now and then."""
        if now_s - self._shown_at_s < SHOW_EVERY_S:
            return
        self._shown_at_s = now_s
        if self._scores is not None:
            self._show_scores(self._scores, now_s)
        if self._sensors is not None:
            drift = self._sensors.drift(now_s)
            self._metrics.show_sensors(self._digest, self._names, drift)

    def _show_scores(self, scores: Recent, now_s: float) -> None:
        if not scores.is_enough(now_s):
            self._metrics.withdraw_scores(self._digest)
            return
        (counts_J,) = scores.totals(now_s)
        index = psi_of_counts(self._expected_J, counts_J, self._n_expected)
        self._metrics.score_psi.labels(self._digest).set(float(index))
        self._metrics.psi_span.labels(self._digest).set(scores.span_s(now_s))

    def _count(self, turn: Turn, stretch: Stretch, now_s: float) -> None:
        windows = stretch.windows
        some = self._some(len(windows))
        reading_B = windows.reading_B[some]
        # Not the newest: a single clock may be wrong.
        time_s = float(np.median(turn.readings.time_s_N[reading_B]))
        if self._scores is not None:
            counts_K = score_counts(stretch.scores.score_B[some])
            counts_J = np.bincount(self._joined_K, counts_K).astype(np.int64)
            self._scores.add(len(some), time_s, now_s, counts_J)
        if self._sensors is None:
            return
        row_B = windows.row_B[some]
        values_BF = turn.readings.values_NF[reading_B]
        run_BF = self._runs.of(row_B)
        line: IntArray | int = POOLED
        if self._scaling.units:
            units = turn.readings.units
            line = np.array([self._scaling.line(units[at]) for at in reading_B.tolist()])
            # Of a unit that was not trained on no usual level is known.
            is_known_B = line != POOLED
            values_BF, run_BF = values_BF[is_known_B], run_BF[is_known_B]
            line = line[is_known_B]
        x_BF = self._scaling.scaled(values_BF, line)
        self._sensors.add(x_BF, run_BF, time_s, now_s)

    def _some(self, n: int) -> IntArray:
        """Which of so many windows are looked at."""
        if n <= self._max_rows:
            return np.arange(n)
        return self._random.integers(n, size=self._max_rows)

    def _show_calibration(self, counts_K: IntArray) -> None:
        gauge = self._metrics.calibration_score_ratio
        shares = shares_up_to(counts_K, SCORE_BUCKETS).tolist()
        for bound, share in zip(SCORE_BUCKETS, shares, strict=True):
            gauge.labels(self._digest, str(float(bound))).set(share)
        gauge.labels(self._digest, "+Inf").set(1.0)
