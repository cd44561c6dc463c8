"""What is done with, and not committed yet."""

import math
import time
from collections.abc import Collection, Mapping

import structlog

from pipeline.delivery import Delivery
from pipeline.errors import TransportError
from pipeline.metrics import WorkerMetrics
from pipeline.records import Partition
from pipeline.recovery import Recovery
from pipeline.steps import Steps
from pipeline.transport.base import Consumer

log = structlog.get_logger()

MAX_POSTPONED_S = 30.0
"""Commits that are postponed for longer stop the reading: what a crash repeats, and what a
transaction holds, stays bounded."""


class Offsets:
    """Owns the offsets up to which everything is published, until they are committed."""

    def __init__(
        self,
        delivery: Delivery,
        recovery: Recovery,
        interval_s: float,
        metrics: WorkerMetrics,
    ) -> None:
        """Args:
        delivery: commits.
        recovery: says what to store beside each offset.
        interval_s: between two commits while records keep coming.
        metrics: count commits.
        """
        self._delivery = delivery
        self._recovery = recovery
        self._interval_s = interval_s
        self._metrics = metrics
        self._next_offsets: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._tried_at_s = -math.inf
        self._postponed_at_s: float | None = None

    def update(self, next_offsets: Mapping[Partition, int]) -> None:
        """All before these is published."""
        self._next_offsets.update(next_offsets)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Leave these to their next owner."""
        for partition in partitions:
            self._next_offsets.pop(partition, None)
            self._committed.pop(partition, None)
        if not self._next_offsets:
            self._postponed_at_s = None

    @property
    def committed(self) -> Mapping[Partition, int]:
        """What this worker has committed last, of the partitions that are its own."""
        return self._committed

    def is_empty(self) -> bool:
        """Whether all that was done is committed."""
        return not self._next_offsets

    def is_due(self) -> bool:
        """Whether a commit is due, records or not."""
        return time.monotonic() - self._tried_at_s >= self._interval_s

    def is_stuck(self) -> bool:
        """Whether nothing more should be read before a commit succeeds."""
        since_s = self._postponed_at_s
        return since_s is not None and time.monotonic() - since_s > MAX_POSTPONED_S

    def commit(self, consumer: Consumer, steps: Steps, timeout_s: float) -> None:
        """Commit, if there is anything to; no batch is in hand.

        Args:
            consumer: commits, unless the delivery does.
            steps: remember what the notes are about.
            timeout_s: longest wait for the broker.

        Raises:
            TransportError: it is refused for good.
        """
        if not self._next_offsets:
            return
        self._tried_at_s = time.monotonic()
        try:
            notes = self._recovery.notes(self._next_offsets, steps)
            self._delivery.commit(consumer, self._next_offsets, timeout_s, notes)
        except TransportError as error:
            if not error.retriable:
                raise
            # A rebalance is under way, mostly. The next commit has these too, and if
            # the partition is gone by then its new owner repeats them.
            self._metrics.commits.labels("postponed").inc()
            if self._postponed_at_s is None:
                log.warning("commit_postponed", error=str(error))
                self._postponed_at_s = time.monotonic()
            return
        self._metrics.commits.labels("done").inc()
        self._committed.update(self._next_offsets)
        self._next_offsets.clear()
        self._postponed_at_s = None
