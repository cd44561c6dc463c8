"""Exactly-once publishing in memory: nothing is in the broker before it is committed."""

from collections.abc import Collection, Mapping, Sequence

from pipeline.errors import TransportError
from pipeline.records import Message, Partition
from pipeline.transport.base import NO_NOTES, Consumer
from pipeline.transport.client import Fenced
from pipeline.transport.memory_broker import MemoryBroker


class MemoryTransactions:
    """See `base.TransactionalProducer`."""

    def __init__(self, broker: MemoryBroker, *, transactional_id: str) -> None:
        """Fence earlier producers of this id."""
        self._broker = broker
        self._transactional_id = transactional_id
        self._added: list[Message] = []
        self._closed = False
        with broker.changed:
            self._epoch = broker.next_epoch(transactional_id)

    def send(self, messages: Sequence[Message]) -> None:
        with self._broker.changed:
            self._refuse_if_over()
            self._broker.check(messages)
        self._added += messages

    def commit(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        with self._broker.changed:
            self._refuse_if_over()
            consumer.commit(next_offsets, timeout_s, notes)
            self._broker.append(self._added)
            self._added.clear()

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        self._added = [m for m in self._added if m.source not in partitions]

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        with self._broker.changed:
            return [topic for topic in topics if not self._broker.logs(topic)]

    def close(self, timeout_s: float) -> None:
        self._closed = True
        self._added.clear()

    def _refuse_if_over(self) -> None:
        if self._closed:
            raise TransportError("memory: producer is closed", retriable=False)
        if self._broker.epoch(self._transactional_id) != self._epoch:
            raise Fenced("memory")
