"""How what the worker tells belongs together with what it has read."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pipeline.records import Message, Partition
from pipeline.transport.base import NO_NOTES, Consumer, Producer


class Delivery(Protocol):
    """Publishes messages, and stores the offsets that they came of.

    Exactly once by a `TransactionalProducer`, which is one of these.
    """

    def send(self, messages: Sequence[Message]) -> None:
        """Publish all, as `Producer.send`."""

    def commit(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        """Store the offsets up to which everything was sent, as `Consumer.commit`."""

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        """Take back, where that can be done, what came of these since the last commit."""


class AtLeastOnce:
    """Published at once, committed afterwards: a crash in between repeats it."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, messages: Sequence[Message]) -> None:
        self._producer.send(messages)

    def commit(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        consumer.commit(next_offsets, timeout_s, notes)

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        """What is published stays so: the next owner repeats it."""
