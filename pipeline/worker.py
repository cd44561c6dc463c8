"""The loop: one poll's worth of readings through every step, in order.

The steps never call each other. Only this file counts, times and logs.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager

import structlog

from pipeline.dead_letter import DeadLetters
from pipeline.errors import StreamUnreadable, TransportError
from pipeline.health import Health
from pipeline.metrics import WorkerMetrics
from pipeline.records import Partition, Records, parts
from pipeline.rejection import RejectionLimit
from pipeline.side_thread import SideThread
from pipeline.steps import Steps
from pipeline.transport.base import Consumer, Producer, RebalanceListener
from pipeline.turn import Taken, Turn
from pipeline.worker_log import WorkerLog

log = structlog.get_logger()

COMMIT_TIMEOUT_S = 3.0
"""A commit that takes longer is made up for by the next one."""
MAX_TURN_BYTES = 2 * 2**20
"""Of records in one turn. A record may hold thousands of readings, and a poll thousands of
such records; the time to a commit, or to a stop, stays short all the same."""
KEEP_ALIVE_S = 1.0
"""How long a batch may take before the worker polls for its membership alone."""
REVOKE_TIMEOUT_S = 5.0
"""How long a partition that goes waits for the batch in hand. It is another's turn then:
what comes of the batch is for nobody, and its new owner repeats it."""


class Worker:
    """Owns the order of the steps, what is polled and not yet processed, the batch in
    hand, and the offsets that are not committed yet."""

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
        self._log = WorkerLog()
        self._beside: SideThread[Turn] = SideThread("batch")
        self._polled: deque[Records] = deque()
        self._next: Taken | None = None
        self._in_hand: Future[Turn] | None = None
        self._disowned: frozenset[Partition] = frozenset()
        self._finished: Turn | None = None
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

        Meanwhile the next turn's are polled and decoded. A poll of more than
        `MAX_TURN_BYTES` is worth several turns.
        """
        if self._next is None:
            self._take(self._poll_timeout_s)
        turn = None
        if self._next is not None:
            taken, self._next = self._next, None
            self._in_hand = self._beside.begin(lambda: self._process(taken))
            try:
                self._take(0.0)
            except TransportError:
                # What can be read no further is no reason to repeat what was.
                self._finish()
                raise
            turn = self._finish()
        is_due = time.monotonic() - self._committed_at_s >= self._commit_interval_s
        if is_due or turn is None:
            self._commit(COMMIT_TIMEOUT_S)
        self._show_state()
        if turn is not None:
            self._check_limit(turn)
        return turn

    def _take(self, timeout_s: float) -> None:
        """Decode the next turn's records, polled before or within `timeout_s`, if any."""
        if not self._polled:
            with self._timed("poll"):
                polled = self._consumer.poll(self._max_records, timeout_s)
            self._polled.extend(parts(polled, MAX_TURN_BYTES))
        if self._polled:
            records = self._polled.popleft()
            taken_at_s = time.time()
            with self._timed("decode"):
                decoded, unreadable = self._steps.decoder.decode(records)
            self._next = Taken(taken_at_s, records, decoded, unreadable)

    def _process(self, taken: Taken) -> Turn:
        """Decide on these readings, beside whatever else this worker does.

        Only here, and between two batches, is any unit's state touched.
        """
        steps = self._steps
        with self._timed("window"):
            readings, row_N, refused = steps.units.admit(taken.decoded, taken.records)
            n_rows = steps.units.n_rows
            windows = steps.windows.extend(readings, row_N, n_rows)
        with self._timed("score"):
            scores = steps.scorer.score(windows.windows, windows.row_B, steps.units.names)
        with self._timed("incident"):
            decisions = steps.incidents.update(readings, windows, scores, n_rows)
        return Turn(taken, readings, refused, windows, scores, decisions)

    def _finish(self) -> Turn | None:
        """Publish what the batch in hand comes to; stay a member however long it takes."""
        while not self._publish(KEEP_ALIVE_S):
            self._consumer.keep_alive()
        finished, self._finished = self._finished, None
        return finished

    def _publish(self, timeout_s: float) -> bool:
        """Publish what the batch in hand came to. False if it takes over `timeout_s`."""
        if self._in_hand is None:
            # A rebalance was there first.
            return True
        if not wait_for([self._in_hand], timeout_s).done:
            return False
        in_hand, self._in_hand = self._in_hand, None
        turn = in_hand.result()
        if self._disowned:
            turn = turn.without(self._disowned)
            self._forget(self._disowned)
            self._disowned = frozenset()
        with self._timed("publish"):
            self._dead_letters.send(turn.rejects)
            self._producer.send(self._steps.alerts.encode(turn.decisions.events))
        # Only now, so that a crash above repeats work and never loses it.
        self._uncommitted.update(turn.records.next_offsets)
        self._count(turn)
        self._log.show(turn, self._steps.scorer.take_unknown())
        self._finished = turn
        return True

    def _check_limit(self, turn: Turn) -> None:
        n_records, n_unreadable = len(turn.records.records), len(turn.taken.unreadable)
        try:
            self._limit.count(n_records, n_unreadable, time.monotonic())
        except StreamUnreadable:
            # So that a restart goes on behind what stopped the worker.
            self._commit(COMMIT_TIMEOUT_S)
            raise

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
        """Hand these over: publish what the batch in hand came to, commit and forget."""
        self._metrics.rebalances.inc()
        log.info("partitions_revoked", partitions=_names(partitions))
        self._publish(REVOKE_TIMEOUT_S)
        self._commit(COMMIT_TIMEOUT_S)
        self._give_up(partitions)

    def on_lost(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that are another worker's already."""
        self._metrics.rebalances.inc()
        log.warning("partitions_lost", partitions=_names(partitions))
        self._give_up(partitions)

    def _give_up(self, partitions: Collection[Partition]) -> None:
        if self._next is not None:
            self._polled.appendleft(self._next.records)
            self._next = None
        left = [records.without(partitions) for records in self._polled]
        self._polled = deque(records for records in left if records.records)
        for partition in partitions:
            self._uncommitted.pop(partition, None)
        if self._in_hand is None:
            self._forget(partitions)
        else:
            # The batch works on what is to be forgotten.
            self._disowned |= frozenset(partitions)

    def _forget(self, partitions: Collection[Partition]) -> None:
        rows = self._steps.units.forget(partitions)
        self._steps.windows.forget(rows)
        self._steps.scorer.forget(rows)
        self._steps.incidents.forget(rows)

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

    def _count(self, turn: Turn) -> None:
        metrics = self._metrics
        metrics.readings.inc(len(turn.taken.decoded))
        metrics.readings_late.inc(turn.windows.n_late)
        metrics.batch_readings.observe(len(turn.taken.decoded))
        device = self._steps.scorer.device_type
        metrics.windows_scored.labels(device).inc(len(turn.windows))
        metrics.score.observe(turn.scores.score_B)
        for reject in turn.rejects:
            metrics.records_rejected.labels(reject.reason).inc()
        if len(turn.readings):
            newest_s = float(turn.readings.time_s_N.max())
            metrics.event_time_lag.set(turn.taken.taken_at_s - newest_s)
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


def _names(partitions: Collection[Partition]) -> list[str]:
    return [str(partition) for partition in sorted(partitions)]
