"""Which partitions are a confluent-kafka consumer's, and who is told of it."""

from collections.abc import Callable, Collection
from typing import Any

from pipeline.records import Partition
from pipeline.transport.base import RebalanceListener


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
        self.revoking: frozenset[Partition] = frozenset()
        """No longer among `partitions`, and still ours until the listener returns."""

    def on_assign(self, client: Any, assigned: Collection[Any]) -> None:
        new = _partitions(assigned)
        self.partitions |= new
        self.has_changed |= bool(new)
        if self._listener is not None:
            self._tell(self._listener.on_assigned, new)

    def on_revoke(self, client: Any, revoked: Collection[Any]) -> None:
        # One that is not ours: librdkafka may name again what was lost before.
        gone = _partitions(revoked) & self.partitions
        self.partitions -= gone
        self.has_changed |= bool(gone)
        if self._listener is not None:
            self.revoking = gone
            try:
                self._tell(self._listener.on_revoked, gone)
            finally:
                self.revoking = frozenset()

    def on_lost(self, client: Any, lost: Collection[Any]) -> None:
        gone = _partitions(lost) & self.partitions
        self.partitions -= gone
        self.has_changed |= bool(gone)
        if self._listener is not None:
            self._tell(self._listener.on_lost, gone)

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
