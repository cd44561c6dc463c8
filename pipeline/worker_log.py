"""What the worker says of itself: counters, and lines, so many a second at most."""

import time
from collections.abc import Sequence

import structlog

from pipeline.incident import Event
from pipeline.logs import LogLimit
from pipeline.metrics import WorkerMetrics
from pipeline.records import Reject
from pipeline.turn import Turn

log = structlog.get_logger()

MAX_LINES_PER_S = 20
"""Of rejects, of incidents and of unknown units. The topics have them all."""


class WorkerLog:
    """Owns how many lines of each kind may still be logged in this second."""

    def __init__(self, metrics: WorkerMetrics, device_type: str) -> None:
        self._metrics = metrics
        self._device_type = device_type
        self._reject_lines = LogLimit(MAX_LINES_PER_S, 1.0)
        self._incident_lines = LogLimit(MAX_LINES_PER_S, 1.0)
        self._unknown_lines = LogLimit(MAX_LINES_PER_S, 1.0)

    def show(self, turn: Turn, unknown: Sequence[str]) -> None:
        """Count what one turn came to, and log what is worth a line.

        Args:
            turn: what was published.
            unknown: units that the detector was not trained on, first seen.
        """
        self._count(turn)
        self._show_rejects(turn.rejects)
        self._show_incidents(turn.events)
        self._show_unknown(unknown)

    def _count(self, turn: Turn) -> None:
        metrics = self._metrics
        metrics.readings.inc(len(turn.taken.decoded))
        metrics.batch_readings.observe(len(turn.taken.decoded))
        for stretch in turn.stretches:
            metrics.readings_late.inc(stretch.windows.n_late)
            metrics.units_evicted.inc(len(stretch.windows.anew))
            metrics.windows_scored.labels(self._device_type).inc(len(stretch.windows))
            metrics.score.observe(stretch.scores.score_B)
        for reject in turn.rejects:
            metrics.records_rejected.labels(reject.reason).inc()
        if len(turn.readings):
            newest_s = float(turn.readings.time_s_N.max())
            metrics.event_time_lag.set(turn.taken.taken_at_s - newest_s)
        for event in turn.events:
            metrics.alerts_sent.labels(event.state).inc()
            if event.state == "opened":
                metrics.incidents_opened.inc()
            elif event.state == "closed":
                metrics.incidents_closed.inc()

    def _show_rejects(self, rejects: Sequence[Reject]) -> None:
        n = self._reject_lines.allowed(len(rejects), time.monotonic())
        for reject in rejects[:n]:
            log.warning(
                "record_rejected",
                reason=reject.reason,
                detail=reject.detail,
                topic=reject.record.topic,
                partition=reject.record.partition,
                offset=reject.record.offset,
            )

    def _show_incidents(self, events: Sequence[Event]) -> None:
        n = self._incident_lines.allowed(len(events), time.monotonic())
        for event in events[:n]:
            log.info(
                f"incident_{event.state}",
                unit=event.unit,
                score=round(event.score, 3),
                peak_score=round(event.peak_score, 3),
            )

    def _show_unknown(self, units: Sequence[str]) -> None:
        n = self._unknown_lines.allowed(len(units), time.monotonic())
        for unit in units[:n]:
            log.warning(
                "unit_not_trained_on",
                unit=unit,
                detail="scaled as all units together: less is seen of it; train again",
            )
