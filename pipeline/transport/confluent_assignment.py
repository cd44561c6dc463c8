"""Which partitions are a confluent-kafka consumer's, and who is told of it."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException

from pipeline.records import Partition
from pipeline.transport.base import RebalanceListener

ASK_TIMEOUT_S = 1.0


class Assignment:
    """Takes librdkafka's rebalance callbacks and tells a `RebalanceListener`.

    They come from within `consume`, on the thread that called it; that a commit there
    waits for its answer is allowed. Each callback gives librdkafka no answer of its own,
    so that confluent-kafka gives the usual one once it has returned.
    """

    def __init__(self, listener: RebalanceListener | None) -> None:
        self._listener = listener
        self._failure: BaseException | None = None
        self.closing = False
        self.has_changed = False
        """Whether partitions came or went. For the poll to set back."""
        self.partitions: frozenset[Partition] = frozenset()
        self.positions: dict[Partition, int] = {}
        """How far each was read; those of which that is known."""
        self.revoking: frozenset[Partition] = frozenset()
        """No longer among `partitions`, and still ours until the listener returns."""

    def on_assign(self, client: Any, assigned: Collection[Any]) -> None:
        new = _partitions(assigned)
        self.partitions |= new
        self.has_changed |= bool(new)
        # Where reading begins is nowhere to be had until a record has come, and of a quiet
        # partition none does; the lag of one is known all the same.
        with suppress(KafkaException):
            for each in client.committed(list(assigned), timeout=ASK_TIMEOUT_S):
                if each.offset >= 0:
                    self.positions[Partition(each.topic, each.partition)] = each.offset
        if self._listener is not None:
            self._tell(self._listener.on_assigned, new)

    def on_revoke(self, client: Any, revoked: Collection[Any]) -> None:
        if not client.memberid():
            # Begun while this was a member, which it no longer is: all is lost.
            self._lose(self.partitions)
            return
        gone = _partitions(revoked) & self.partitions
        self._remove(gone)
        if self._listener is not None:
            self.revoking = gone
            try:
                self._tell(self._listener.on_revoked, gone)
            finally:
                self.revoking = frozenset()

    def on_lost(self, client: Any, lost: Collection[Any]) -> None:
        self._lose(_partitions(lost) & self.partitions)

    def _lose(self, gone: frozenset[Partition]) -> None:
        self._remove(gone)
        if self._listener is not None:
            self._tell(self._listener.on_lost, gone)

    def _remove(self, gone: frozenset[Partition]) -> None:
        self.partitions -= gone
        self.has_changed |= bool(gone)
        for partition in gone:
            self.positions.pop(partition, None)

    def raise_failure(self) -> None:
        """Raise what the listener raised, if it did, as it was."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _tell(
        self,
        callback: Callable[[Collection[Partition]], None],
        partitions: frozenset[Partition],
    ) -> None:
        # A rebalance that moves nothing here names none.
        if not partitions or self.closing:
            return
        try:
            callback(partitions)
        except BaseException as error:
            # Raised from here, it would take the messages of this `consume` with it.
            self._failure = error


def _partitions(topic_partitions: Collection[Any]) -> frozenset[Partition]:
    return frozenset(Partition(each.topic, each.partition) for each in topic_partitions)
