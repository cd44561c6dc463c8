"""The loop: one poll's worth of readings through every step, in order.

The steps never call each other, and are timed here alone.
"""

import math
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import structlog

from pipeline.dead_letter import dead_letter
from pipeline.decide import decide
from pipeline.delivery import Delivery
from pipeline.drift.observed import Observed
from pipeline.errors import StreamUnreadable, TransportError
from pipeline.handover import hand_over, without_room
from pipeline.health import Health
from pipeline.idle import give_up_idle
from pipeline.inbox import Inbox
from pipeline.logs import tell_left_out
from pipeline.metrics import WorkerMetrics
from pipeline.offsets import Offsets
from pipeline.outbox import Outbox
from pipeline.records import Partition
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.settings import DriftSettings
from pipeline.shadow import Shadow
from pipeline.side_thread import SideThread
from pipeline.steps import Steps
from pipeline.transport.base import MAX_TRANSACTION_S, Consumer, RebalanceListener
from pipeline.turn import Taken, Turn
from pipeline.watch import AsBefore, DetectorWatch, Refused
from pipeline.worker_log import WorkerLog

log = structlog.get_logger()

COMMIT_TIMEOUT_S = 3.0
"""A commit that takes longer is made up for by the next one."""
COMMIT_AGAIN_S = 0.1
"""Between two attempts that another detector waits for."""
COMMITTED_TIMEOUT_S = 2 * MAX_TRANSACTION_S
"""Where to begin must be known, or there is no beginning. It is not while a transaction is
open, and one that its owner left open the broker ends after `MAX_TRANSACTION_S`."""
PUBLISH_AGAIN_S = 1.0
"""Between two attempts, each of which has `kafka.send_timeout_s`."""
KEEP_ALIVE_S = 1.0
"""How long a batch may take before the worker polls for its membership alone."""
REVOKE_TIMEOUT_S = 5.0
"""How long a partition that goes waits for the batch in hand. It is another's turn then:
what comes of the batch is for nobody, and its new owner repeats it."""


class Worker:
    """Owns the order of the steps, and the batch in hand."""

    def __init__(
        self,
        steps: Steps,
        recovery: Recovery,
        connect: Callable[[RebalanceListener], Consumer],
        delivery: Delivery,
        dead_letters_topic: str,
        limit: RejectionLimit,
        metrics: WorkerMetrics,
        health: Health,
        max_records: int,
        poll_timeout_s: float,
        commit_interval_s: float,
        look_for_idle_every_s: float,
        drift: DriftSettings | None = None,
        watch: DetectorWatch[Steps] | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        """Join the group.

        Args:
            steps: what readings go through.
            recovery: how it goes on where another worker left off.
            connect: makes the consumer, which tells the worker of its partitions.
            delivery: publishes alerts and dead letters, and commits.
            dead_letters_topic: where rejected records go.
            limit: when rejected records stop the worker.
            metrics: counts and times of every turn.
            health: is told of every turn.
            max_records: largest poll.
            poll_timeout_s: longest wait for a record.
            commit_interval_s: how long finished work may wait for its commit while records
                keep coming: what a crash repeats.
            look_for_idle_every_s: between two looks for units that are silent for long.
            drift: how it is measured; None where nobody asks for it.
            watch: has the steps of another detector once there is one.
            shadow: scores the same readings, and publishes nothing.
        """
        self._steps = steps
        self._watch = watch
        self._successor: Steps | None = None
        self._shadow = shadow
        self._recovery = recovery
        self._delivery = delivery
        self._outbox = Outbox(delivery)
        self._dead_letters_topic = dead_letters_topic
        self._limit = limit
        self._metrics = metrics
        self._health = health
        self._poll_timeout_s = poll_timeout_s
        self._publish_again_at_s = -math.inf
        self._look_for_idle_every_s = look_for_idle_every_s
        self._looked_for_idle_at_s = time.monotonic()
        self._log = WorkerLog(metrics, steps.scorer.device_type)
        self._observed = Observed(metrics, drift)
        self._beside: SideThread[Turn] = SideThread("batch")
        self._in_hand: Future[Turn] | None = None
        self._disowned: frozenset[Partition] = frozenset()
        self._is_put = False
        self._finished: Turn | None = None
        self._offsets = Offsets(delivery, recovery, commit_interval_s, metrics)
        self._log.show_detector(steps.loaded)
        self._observed.begin(steps.loaded)
        if shadow is not None and shadow.steps is not None:
            self._log.show_shadow(shadow.steps)
        self._consumer = connect(self)
        self._inbox = Inbox(self._consumer, recovery, metrics, max_records)

    def run(self, stop: threading.Event) -> None:
        """Turn until `stop` is set; the batch in hand is finished.

        Raises:
            StreamUnreadable: too large a share of the records cannot be read.
            TransportError: Kafka refused, or did not answer in time.
        """
        while not stop.is_set():
            self.run_once()
            tell_left_out(time.monotonic())

    def run_once(self) -> Turn | None:
        """Take one poll's worth of records through every step. None if there were none.

        Meanwhile the next turn's are polled and decoded.
        """
        self._look_for_successor()
        if self._offsets.is_stuck():
            # More work would only be more to repeat.
            self._consumer.keep_alive()
            time.sleep(PUBLISH_AGAIN_S)
        else:
            self._fill(self._poll_timeout_s)
        turn = None
        if not self._offsets.is_stuck() and (taken := self._inbox.take()) is not None:
            self._recovery.restore(self._steps, taken.records, taken.decoded)
            self._in_hand = self._beside.begin(partial(self._process, taken))
            try:
                self._fill(0.0)
            except TransportError:
                # What can be read no further is no reason to repeat what was.
                self._finish()
                raise
            turn = self._finish()
        if turn is None or self._offsets.is_due():
            self._commit(COMMIT_TIMEOUT_S)
        if turn is not None:
            self._give_up_idle(turn)
            steps = self._steps
            self._metrics.spans.end(turn, steps.scorer.device_type, steps.alerts.digest)
        self._show_state()
        if turn is not None and not turn.records.is_replay:
            self._check_limit(turn)
        return turn

    def _fill(self, timeout_s: float) -> None:
        # What was polled is this detector's. Nothing more is polled for it.
        may_poll = self._successor is None
        self._inbox.fill(self._steps.decoder, timeout_s, may_poll)

    def _process(self, taken: Taken) -> Turn:
        """Decide on these readings, beside whatever else this worker does.

        Only here, and between two batches, is any unit's state touched.
        """
        steps = self._steps
        with self._timed("window"):
            readings, row_N, refused = steps.units.admit(taken.decoded, taken.records)
            emitted = steps.windows.extend(readings, row_N, steps.units.n_rows)
        reopens = self._recovery.reopens if taken.records.is_replay else None
        stretches = [
            decide(steps, readings, windows, reopens, self._timed) for windows in emitted
        ]
        turn = Turn(taken, readings, refused, stretches)
        if self._shadow is None:
            return turn
        with self._timed("shadow"):
            return replace(turn, shadow=self._shadow.follow(turn, steps))

    def _finish(self) -> Turn | None:
        """Publish what the batch in hand comes to; stay a member however long it takes."""
        while not self._publish(KEEP_ALIVE_S):
            self._consumer.keep_alive()
        finished, self._finished = self._finished, None
        return finished

    def _publish(self, timeout_s: float) -> bool:
        """Publish what the batch in hand came to. False if it takes over `timeout_s`, or
        the broker takes nothing at present."""
        if self._in_hand is None:
            # A rebalance was there first.
            return True
        wait_s = self._publish_again_at_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
        if wait_s > timeout_s or not wait_for([self._in_hand], timeout_s).done:
            return False
        turn = self._in_hand.result()
        if self._disowned:
            turn = turn.without(self._disowned)
        if turn.records.is_replay:
            self._observed.observe(turn, time.monotonic())
            self._log.show_replay(turn)
        elif not self._sent(turn):
            return False
        self._in_hand, self._is_put, self._finished = None, False, turn
        if self._disowned:
            self._forget(self._disowned)
            self._disowned = frozenset()
        return True

    def _sent(self, turn: Turn) -> bool:
        """Send what is to be told of this turn. False if it has to be tried again."""
        if not self._is_put:
            topic = self._dead_letters_topic
            self._outbox.put(dead_letter(reject, topic) for reject in turn.rejects)
            self._outbox.put(self._steps.alerts.encode(turn.events))
            self._outbox.put(self._steps.expected.encode(turn))
            self._is_put = True
        try:
            with self._timed("publish"):
                self._outbox.send()
        except TransportError as error:
            if not error.retriable:
                raise
            # Nothing more is polled before it succeeds, and nothing is lost.
            log.warning("publish_postponed", error=str(error))
            self._health.publishes(is_possible=False)
            self._health.turned(len(self._consumer.assignment()), time.monotonic())
            self._publish_again_at_s = time.monotonic() + PUBLISH_AGAIN_S
            return False
        self._health.publishes(is_possible=True)
        # Only now, so that a crash above repeats work and never loses it.
        self._offsets.update(turn.records.next_offsets)
        self._observed.observe(turn, time.monotonic())
        self._log.show(turn, self._steps.scorer.take_unknown())
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
        for leave in (self._commit, self._consumer.close):
            try:
                leave(timeout_s)
            except TransportError as error:
                log.warning("close_incomplete", error=str(error))

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        """Begin where what is remembered of their units can be rebuilt from."""
        self._metrics.rebalances.inc()
        stored = self._consumer.committed(partitions, COMMITTED_TIMEOUT_S)
        codec = self._steps.codec
        n_records = self._recovery.take_over(self._consumer, stored, codec)
        names = _names(partitions)
        log.info("partitions_assigned", partitions=names, n_records_to_replay=n_records)

    def _look_for_successor(self) -> None:
        """Take over another detector, once all that was polled is dealt with."""
        now_s = time.monotonic()
        if self._shadow and (seen := self._shadow.look(now_s)) is not None:
            self._log.show_shadow(seen, self._shadow.steps is not None)
        found = self._watch.look(now_s) if self._watch else None
        if isinstance(found, Refused):
            self._log.show_refused(found.reason)
        elif isinstance(found, AsBefore):
            self._log.show_as_before()
        elif found is not None:
            self._successor = found
        if self._watch and self._successor is not None and self._inbox.is_empty():
            self._commit(COMMIT_TIMEOUT_S)
            if (why := without_room(self._successor, self._steps)) is not None:
                self._successor = None
                self._watch.decline(self._steps.loaded.digest)
                self._log.show_refused(why)
            elif not self._offsets.is_empty() or not self._hand_over(self._successor):
                # Nothing is polled meanwhile, and a rebalance may be what it waits for.
                self._consumer.keep_alive()
                time.sleep(COMMIT_AGAIN_S)

    def _hand_over(self, new: Steps) -> bool:
        """Have `new` go on from here. False if it has to be tried again."""
        old, here = self._steps, self._offsets.committed
        try:
            self._steps, n_records = hand_over(
                new, old, self._recovery, self._consumer, here, COMMIT_TIMEOUT_S
            )
        except TransportError as error:
            if not error.retriable:
                raise
            log.warning("hand_over_postponed", error=str(error))
            return False
        self._successor = None
        self._log.show_successor(old.loaded, new.loaded, n_records)
        self._observed.begin(new.loaded)
        return True

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
        self._inbox.give_up(partitions)
        self._recovery.forget(partitions)
        self._offsets.forget(partitions)
        self._outbox.withdraw(partitions)
        self._delivery.withdraw(partitions, COMMIT_TIMEOUT_S)
        if self._in_hand is None:
            self._forget(partitions)
        else:
            # The batch works on what is to be forgotten.
            self._disowned |= frozenset(partitions)

    def _forget(self, partitions: Collection[Partition]) -> None:
        self._steps.forget(partitions)
        if self._shadow:
            self._shadow.forget(partitions)

    def _give_up_idle(self, turn: Turn) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_for_idle_at_s < self._look_for_idle_every_s:
            return
        self._looked_for_idle_at_s = now_s
        self._metrics.units_evicted.inc(give_up_idle(self._steps, turn.readings))
        if self._shadow:
            self._shadow.give_up_idle(turn.readings)

    def _commit(self, timeout_s: float) -> None:
        # What is remembered is as of these offsets only while no batch is in hand. Without
        # a commit the next owner repeats a little more.
        if self._in_hand is None:
            with self._timed("commit"):
                self._offsets.commit(self._consumer, self._steps, timeout_s)
            self._health.publishes(is_possible=not self._offsets.is_stuck())

    def _timed(self, step: str) -> AbstractContextManager[object]:
        return self._metrics.timed(step)

    def _show_state(self) -> None:
        assignment = self._consumer.assignment()
        self._metrics.partitions_assigned.set(len(assignment))
        self._metrics.units.set(len(self._steps.units))
        self._metrics.units_out_of_reach.set(self._recovery.n_units_out_of_reach)
        n_incidents = self._recovery.n_incidents_out_of_reach
        self._metrics.incidents_out_of_reach.set(n_incidents)
        self._metrics.offsets_missed.inc(self._recovery.take_missed())
        self._metrics.incidents_open.set(self._steps.incidents.n_open)
        self._metrics.show_lag(self._consumer.lag())
        now_s = time.monotonic()
        silent = self._observed.show(self._steps, len(assignment), now_s)
        self._log.show_silent(silent)
        self._health.turned(len(assignment), now_s)


def _names(partitions: Collection[Partition]) -> list[str]:
    return [str(partition) for partition in sorted(partitions)]
