"""What is polled and not yet worked on."""

import time
from collections import deque
from collections.abc import Collection

from pipeline.decode import Decoder
from pipeline.metrics import WorkerMetrics
from pipeline.records import Partition, Records, parts
from pipeline.recovery import Recovery
from pipeline.transport.base import Consumer
from pipeline.turn import Taken

MAX_TURN_BYTES = 2 * 2**20
"""Of records in one turn. A record may hold thousands of readings, and a poll thousands of
such records; the time to a commit, or to a stop, stays short all the same."""


class Inbox:
    """Owns polled records until they are taken, the next turn's of them decoded."""

    def __init__(
        self,
        consumer: Consumer,
        recovery: Recovery,
        metrics: WorkerMetrics,
        max_records: int,
    ) -> None:
        """Args:
        consumer: polls.
        recovery: tells what is read again from what is new.
        metrics: time both.
        max_records: largest poll.
        """
        self._consumer = consumer
        self._recovery = recovery
        self._metrics = metrics
        self._max_records = max_records
        self._polled: deque[Records] = deque()
        self._polled_at_s = 0.0
        self._next: Taken | None = None

    def fill(self, decoder: Decoder, timeout_s: float, may_poll: bool = True) -> None:
        """Have a turn's records decoded: polled before, or within `timeout_s`, if any.

        A poll of more than `MAX_TURN_BYTES` is worth several turns.

        Args:
            decoder: of whoever takes them.
            timeout_s: longest wait for a record.
            may_poll: otherwise only what was polled before.
        """
        if self._next is not None:
            return
        if not self._polled and may_poll:
            with self._metrics.timed("poll"):
                polled = self._consumer.poll(self._max_records, timeout_s)
            self._polled_at_s = time.monotonic()
            for records in self._recovery.split(polled):
                self._polled.extend(parts(records, MAX_TURN_BYTES))
        if self._polled:
            records = self._polled.popleft()
            taken_at_s = time.time()
            with self._metrics.timed("decode"):
                decoded, unreadable = decoder.decode(records)
            self._next = Taken(taken_at_s, records, decoded, unreadable)

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._next is None and not self._polled

    def take(self) -> Taken | None:
        """What is decoded, once."""
        taken, self._next = self._next, None
        if taken is not None:
            # No poll is made while there is something left of the one before.
            self._metrics.queue_wait.observe(time.monotonic() - self._polled_at_s)
            self._metrics.spans.begin(taken)
        return taken

    def give_up(self, partitions: Collection[Partition]) -> None:
        """Drop what came of these."""
        if self._next is not None:
            self._polled.appendleft(self._next.records)
            self._next = None
        left = [records.without(partitions) for records in self._polled]
        self._polled = deque(records for records in left if records.records)
