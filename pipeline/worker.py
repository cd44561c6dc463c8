"""The loop: one poll's worth of readings through every step, in order.

The steps never call each other. Only this file counts, times and logs.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from pipeline.dead_letter import DeadLetters
from pipeline.errors import StreamUnreadable, TransportError
from pipeline.health import Health
from pipeline.incident import Decisions, Event
from pipeline.logs import LogLimit
from pipeline.metrics import WorkerMetrics
from pipeline.records import Partition, Readings, Records, Reject, Scores, parts
from pipeline.rejection import RejectionLimit
from pipeline.steps import Steps
from pipeline.transport.base import Consumer, Producer, RebalanceListener
from pipeline.window import LiveWindows

log = structlog.get_logger()

COMMIT_TIMEOUT_S = 3.0
"""A commit that takes longer is made up for by the next one."""
MAX_TURN_BYTES = 2 * 2**20
"""Of records in one turn. A record may hold thousands of readings, and a poll thousands of
such records; the time to a commit, or to a stop, stays short all the same."""
MAX_LINES_PER_S = 20
"""Of rejects, of incidents and of unknown units. The topics have them all."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the loop saw and decided."""

    records: Records
    decoded: Readings
    unreadable: list[Reject]
    readings: Readings
    """Those of `decoded` whose units are known."""
    refused: list[Reject]
    """Records of units that are too many."""
    windows: LiveWindows
    scores: Scores
    decisions: Decisions

    @property
    def rejects(self) -> list[Reject]:
        """Every record that was dead-lettered."""
        return self.unreadable + self.refused


class Worker:
    """Owns the order of the steps, what is polled and not yet processed, and the offsets
    that are not committed yet."""

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
        commit_interval_s: float,
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
            commit_interval_s: how long finished work may wait for its commit while records
                keep coming: what a crash repeats.
        """
        self._steps = steps
        self._producer = producer
        self._dead_letters = DeadLetters(producer, dead_letters_topic)
        self._limit = limit
        self._metrics = metrics
        self._health = health
        self._max_records = max_records
        self._poll_timeout_s = poll_timeout_s
        self._commit_interval_s = commit_interval_s
        self._committed_at_s = -math.inf
        self._reject_lines = LogLimit(MAX_LINES_PER_S, 1.0)
        self._incident_lines = LogLimit(MAX_LINES_PER_S, 1.0)
        self._unknown_lines = LogLimit(MAX_LINES_PER_S, 1.0)
        self._polled: deque[Records] = deque()
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
        """Take one poll's worth of records through every step. None if there were none.

        A poll of more than `MAX_TURN_BYTES` is worth several turns.
        """
        # Never polls before all is processed: a rebalance happens within a poll.
        if not self._polled:
            with self._timed("poll"):
                polled = self._consumer.poll(self._max_records, self._poll_timeout_s)
            self._polled.extend(parts(polled, MAX_TURN_BYTES))
        turn = None
        if self._polled:
            records = self._polled.popleft()
            turn = self._process(records)
            # Only now, so that a crash above repeats work and never loses it.
            self._uncommitted.update(records.next_offsets)
        is_due = time.monotonic() - self._committed_at_s >= self._commit_interval_s
        if is_due or turn is None:
            self._commit(COMMIT_TIMEOUT_S)
        self._show_state()
        if turn is not None:
            self._check_limit(turn)
        return turn

    def _check_limit(self, turn: Turn) -> None:
        n_records, n_unreadable = len(turn.records.records), len(turn.unreadable)
        try:
            self._limit.count(n_records, n_unreadable, time.monotonic())
        except StreamUnreadable:
            # So that a restart goes on behind what stopped the worker.
            self._commit(COMMIT_TIMEOUT_S)
            raise

    def _process(self, records: Records) -> Turn:
        steps = self._steps
        taken_at_s = time.time()
        with self._timed("decode"):
            decoded, unreadable = steps.decoder.decode(records)
        with self._timed("window"):
            readings, row_N, refused = steps.units.admit(decoded, records)
            n_rows = steps.units.n_rows
            windows = steps.windows.extend(readings, row_N, n_rows)
        with self._timed("score"):
            scores = steps.scorer.score(windows.windows, windows.row_B, steps.units.names)
        with self._timed("incident"):
            decisions = steps.incidents.update(readings, windows, scores, n_rows)
        with self._timed("publish"):
            self._dead_letters.send(unreadable + refused)
            self._producer.send(steps.alerts.encode(decisions.events))
        turn = Turn(
            records, decoded, unreadable, readings, refused, windows, scores, decisions
        )
        self._count(turn, taken_at_s)
        self._log_rejects(turn.rejects)
        self._log_incidents(decisions.events)
        self._log_unknown(steps.scorer.take_unknown())
        return turn

    def close(self, timeout_s: float) -> None:
        """Commit what is finished and leave the group, each within `timeout_s`.

        A broker that is gone by now is only logged: what is not committed is repeated by
        whoever takes over, and whatever went wrong before must not be masked.
        """
        try:
            self._commit(timeout_s)
            self._consumer.close(timeout_s)
        except TransportError as error:
            log.warning("close_incomplete", error=str(error))

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        """Start cold on these partitions."""
        self._metrics.rebalances.inc()
        log.info("partitions_assigned", partitions=_names(partitions))

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        """Hand these over: all they caused is published, so commit and forget."""
        self._metrics.rebalances.inc()
        log.info("partitions_revoked", partitions=_names(partitions))
        self._commit(COMMIT_TIMEOUT_S)
        self._forget(partitions)

    def on_lost(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are another worker's already."""
        self._metrics.rebalances.inc()
        log.warning("partitions_lost", partitions=_names(partitions))
        self._forget(partitions)

    def _forget(self, partitions: Collection[Partition]) -> None:
        rows = self._steps.units.forget(partitions)
        self._steps.windows.forget(rows)
        self._steps.scorer.forget(rows)
        self._steps.incidents.forget(rows)
        for partition in partitions:
            self._uncommitted.pop(partition, None)

    def _commit(self, timeout_s: float) -> None:
        if not self._uncommitted:
            return
        self._committed_at_s = time.monotonic()
        try:
            with self._timed("commit"):
                self._consumer.commit(self._uncommitted, timeout_s)
        except TransportError as error:
            if not error.retriable:
                raise
            # A rebalance is under way, mostly. The next commit has these too, and if
            # the partition is gone by then its new owner repeats them.
            log.warning("commit_postponed", error=str(error))
            return
        self._uncommitted.clear()

    def _timed(self, step: str) -> AbstractContextManager[object]:
        return self._metrics.step_seconds.labels(step).time()

    def _count(self, turn: Turn, taken_at_s: float) -> None:
        metrics = self._metrics
        metrics.readings.inc(len(turn.decoded))
        metrics.readings_late.inc(turn.windows.n_late)
        metrics.batch_readings.observe(len(turn.decoded))
        device = self._steps.scorer.device_type
        metrics.windows_scored.labels(device).inc(len(turn.windows))
        metrics.score.observe(turn.scores.score_B)
        for reject in turn.rejects:
            metrics.records_rejected.labels(reject.reason).inc()
        if len(turn.readings):
            newest_s = float(turn.readings.time_s_N.max())
            metrics.event_time_lag.set(taken_at_s - newest_s)
        for event in turn.decisions.events:
            metrics.alerts_sent.labels(event.state).inc()
            if event.state == "opened":
                metrics.incidents_opened.inc()
            elif event.state == "closed":
                metrics.incidents_closed.inc()

    def _show_state(self) -> None:
        assignment = self._consumer.assignment()
        self._metrics.partitions_assigned.set(len(assignment))
        self._metrics.units.set(len(self._steps.units))
        self._metrics.incidents_open.set(self._steps.incidents.n_open)
        self._metrics.show_lag(self._consumer.lag())
        self._health.turned(len(assignment), time.monotonic())

    def _log_rejects(self, rejects: Sequence[Reject]) -> None:
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

    def _log_incidents(self, events: Sequence[Event]) -> None:
        n = self._incident_lines.allowed(len(events), time.monotonic())
        for event in events[:n]:
            log.info(
                f"incident_{event.state}",
                unit=event.unit,
                score=round(event.score, 3),
                peak_score=round(event.peak_score, 3),
            )

    def _log_unknown(self, units: Sequence[str]) -> None:
        n = self._unknown_lines.allowed(len(units), time.monotonic())
        for unit in units[:n]:
            log.warning(
                "unit_not_trained_on",
                unit=unit,
                detail="scaled as all units together: less is seen of it; train again",
            )


def _names(partitions: Collection[Partition]) -> list[str]:
    return [str(partition) for partition in sorted(partitions)]
