"""The loop: one poll's worth of readings through every step, in order.

The steps never call each other. Only this file counts, times and logs.
"""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from pipeline.alert import AlertEncoder
from pipeline.dead_letter import dead_letter, without_value
from pipeline.decode import Decoder
from pipeline.errors import MessageTooLarge, TransportError
from pipeline.health import Health
from pipeline.incident import Decisions, IncidentTracker
from pipeline.metrics import WorkerMetrics
from pipeline.records import Message, Partition, Readings, Records, Reject, Scores
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer
from pipeline.transport.base import Consumer, Producer, RebalanceListener
from pipeline.units import Units
from pipeline.window import LiveWindows, SlidingWindows

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Steps:
    """What a poll's readings go through, in this order."""

    decoder: Decoder
    units: Units
    windows: SlidingWindows
    scorer: Scorer
    incidents: IncidentTracker
    alerts: AlertEncoder


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the loop saw and decided."""

    records: Records
    readings: Readings
    windows: LiveWindows
    scores: Scores
    decisions: Decisions
    rejects: list[Reject]


class Worker:
    """Owns the order of the steps, and the offsets that are not committed yet."""

    def __init__(
        self,
        steps: Steps,
        connect: Callable[[RebalanceListener], Consumer],
        producer: Producer,
        dead_letters_topic: str,
        limit: RejectionLimit,
        metrics: WorkerMetrics,
        health: Health,
        max_records: int,
        poll_timeout_s: float,
    ) -> None:
        """Join the group.

        Args:
            steps: what readings go through.
            connect: makes the consumer, which tells the worker of its partitions.
            producer: publishes alerts and dead letters.
            dead_letters_topic: where rejected records go.
            limit: when rejected records stop the worker.
            metrics: counts and times of every turn.
            health: is told of every turn.
            max_records: largest poll.
            poll_timeout_s: longest wait for a record.
        """
        self._steps = steps
        self._producer = producer
        self._dead_letters_topic = dead_letters_topic
        self._limit = limit
        self._metrics = metrics
        self._health = health
        self._max_records = max_records
        self._poll_timeout_s = poll_timeout_s
        self._uncommitted: dict[Partition, int] = {}
        self._consumer = connect(self)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; the batch in hand is finished.

        Raises:
            StreamUnreadable: too large a share of the records cannot be read.
            TransportError: Kafka refused, or did not answer in time.
        """
        while not stop.is_set():
            self.run_once()

    def run_once(self) -> Turn | None:
        """Take one poll's worth of records through every step. None if there were none."""
        steps = self._steps
        with self._timed("poll"):
            records = self._consumer.poll(self._max_records, self._poll_timeout_s)
        taken_at_s = time.time()
        turn = None
        if records.records:
            with self._timed("decode"):
                readings, rejects = steps.decoder.decode(records)
            n_unreadable = len(rejects)
            with self._timed("window"):
                readings, row_N, refused = steps.units.admit(readings, records)
                rejects += refused
                n_rows = steps.units.n_rows
                windows = steps.windows.extend(readings, row_N, n_rows)
            with self._timed("score"):
                scores = steps.scorer.score(windows.windows)
            with self._timed("incident"):
                decisions = steps.incidents.update(readings, windows, scores, n_rows)
            with self._timed("publish"):
                self._send_dead_letters(rejects)
                self._producer.send(steps.alerts.encode(decisions.events))
            turn = Turn(records, readings, windows, scores, decisions, rejects)
            self._count(turn, taken_at_s)
        # Last, so that a crash above repeats work and never loses it (at-least-once).
        self._uncommitted.update(records.next_offsets)
        with self._timed("commit"):
            self._commit()
        self._show_state()
        if turn is not None:
            self._limit.count(len(records.records), n_unreadable, time.monotonic())
        return turn

    def close(self, timeout_s: float) -> None:
        """Commit what is finished and leave the group.

        A broker that is gone by now is only logged: what is not committed is repeated by
        whoever takes over, and whatever went wrong before must not be masked.
        """
        try:
            self._commit()
            self._consumer.close(timeout_s)
        except TransportError as error:
            log.warning("close_incomplete", error=str(error))

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        """Start cold on these partitions."""
        self._metrics.rebalances.inc()
        log.info("partitions_assigned", partitions=[str(p) for p in sorted(partitions)])

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        """Hand these over: all they caused is published, so commit and forget."""
        self._metrics.rebalances.inc()
        log.info("partitions_revoked", partitions=[str(p) for p in sorted(partitions)])
        self._commit()
        self._forget(partitions)

    def on_lost(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are another worker's already."""
        self._metrics.rebalances.inc()
        log.warning("partitions_lost", partitions=[str(p) for p in sorted(partitions)])
        self._forget(partitions)

    def _forget(self, partitions: Collection[Partition]) -> None:
        rows = self._steps.units.forget(partitions)
        self._steps.windows.forget(rows)
        self._steps.incidents.forget(rows)
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    def _commit(self) -> None:
        if not self._uncommitted:
            return
        try:
            self._consumer.commit(self._uncommitted)
        except TransportError as error:
            if not error.retriable:
                raise
            # A rebalance is under way, mostly. The next turn commits these too, and if
            # the partition is gone by then its new owner repeats them.
            log.warning("commit_postponed", error=str(error))
            return
        self._uncommitted.clear()

    def _send_dead_letters(self, rejects: list[Reject]) -> None:
        if not rejects:
            return
        for reject in rejects[:MAX_REJECTS_LOGGED]:
            log.warning(
                "record_rejected",
                reason=reject.reason,
                detail=reject.detail,
                topic=reject.record.topic,
                partition=reject.record.partition,
                offset=reject.record.offset,
            )
        if len(rejects) > MAX_REJECTS_LOGGED:
            log.warning("records_rejected", n_more=len(rejects) - MAX_REJECTS_LOGGED)
        messages = [dead_letter(r, self._dead_letters_topic) for r in rejects]
        try:
            self._producer.send(messages)
        except MessageTooLarge:
            for message in messages:
                self._send_or_omit_value(message)

    def _send_or_omit_value(self, message: Message) -> None:
        try:
            self._producer.send([message])
        except MessageTooLarge:
            self._producer.send([without_value(message)])

    def _timed(self, step: str) -> AbstractContextManager[object]:
        return self._metrics.step_seconds.labels(step).time()

    def _count(self, turn: Turn, taken_at_s: float) -> None:
        metrics = self._metrics
        n_readings, n_windows = len(turn.readings), len(turn.windows)
        metrics.readings.inc(n_readings)
        metrics.readings_late.inc(turn.windows.n_late)
        metrics.batch_readings.observe(n_readings)
        metrics.windows_scored.labels(self._steps.scorer.device_type).inc(n_windows)
        metrics.score.observe(turn.scores.score_B)
        for reject in turn.rejects:
            metrics.records_rejected.labels(reject.reason).inc()
        if n_readings:
            newest_s = float(turn.readings.time_s_N.max())
            metrics.event_time_lag.set(taken_at_s - newest_s)
        for event in turn.decisions.events:
            metrics.alerts_sent.labels(event.state).inc()
            if event.state == "opened":
                metrics.incidents_opened.inc()
            elif event.state == "closed":
                metrics.incidents_closed.inc()
            log.info(
                f"incident_{event.state}",
                unit=event.unit,
                score=round(event.score, 3),
                peak_score=round(event.peak_score, 3),
            )

    def _show_state(self) -> None:
        assignment = self._consumer.assignment()
        self._metrics.partitions_assigned.set(len(assignment))
        self._metrics.units.set(len(self._steps.units))
        self._metrics.incidents_open.set(self._steps.incidents.n_open)
        self._metrics.show_lag(self._consumer.lag())
        self._health.turned(len(assignment), time.monotonic())


MAX_REJECTS_LOGGED = 10
"""Per turn. The dead-letter topic has them all; a log that grows with the garbage sent to
us would fill the disk."""
