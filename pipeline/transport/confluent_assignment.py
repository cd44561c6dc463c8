"""Which partitions are a confluent-kafka consumer's, and who is told of it."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from pipeline.records import Partition
from pipeline.transport.base import RebalanceListener
from pipeline.transport.client import ASK_TIMEOUT_S
from pipeline.transport.confluent_offsets import committed, log_begins


class Assignment:
    """Takes librdkafka's rebalance callbacks and tells a `RebalanceListener`.

    They come from within `consume`, on the thread that called it; that a commit there
    waits for its answer is allowed. A callback that gives librdkafka no answer of its own
    has confluent-kafka give the usual one once it has returned.
    """

    def __init__(
        self, listener: RebalanceListener | None, on_gone: Callable[[], object]
    ) -> None:
        """Args:
        listener: who is told.
        on_gone: called at once when `partitions` are fewer.
        """
        self._listener = listener
        self._on_gone = on_gone
        self._failure: BaseException | None = None
        self.closing = False
        self.n_told = 0
        """How often librdkafka told of a rebalance."""
        self.has_changed = False
        """Whether partitions came or went. For the poll to set back."""
        self.partitions: frozenset[Partition] = frozenset()
        self.positions: dict[Partition, int] = {}
        """How far each was read; those of which that is known."""
        self._sought: dict[Partition, int] = {}
        self._is_assigning = False
        self.revoking: frozenset[Partition] = frozenset()
        """No longer among `partitions`, and still ours until the listener returns."""

    def on_assign(self, client: Any, assigned: Collection[Any]) -> None:
        self.n_told += 1
        new = _partitions(assigned)
        self.partitions |= new
        self.has_changed |= bool(new)
        if self.closing:
            return
        self._sought.clear()
        if self._listener is not None:
            self._is_assigning = True
            self._tell(self._listener.on_assigned, new)
            self._is_assigning = False
        # Where reading begins is nowhere to be had until a record has come, and of a quiet
        # partition none does; the lag of one is known all the same.
        unsought = new - self._sought.keys()
        with suppress(KafkaException):
            for partition, stored in committed(client, unsought, ASK_TIMEOUT_S).items():
                self.positions[partition] = stored.next_offset
        if self._sought:
            self._begin_at_sought(client, unsought)

    def seek(self, client: Any, partition: Partition, offset: int) -> None:
        """Have the listener's partitions begin there, or one that is read go on there."""
        self._sought[partition] = offset
        if not self._is_assigning:
            self._begin_within_logs(client)
            client.seek(TopicPartition(*partition, self._sought[partition]))

    def _begin_within_logs(self, client: Any) -> None:
        # `auto.offset.reset` may have a new group begin at the end, and would skip to there
        # from before the start. Only without an answer it decides.
        with suppress(KafkaException):
            for partition, begin in log_begins(client, self._sought, ASK_TIMEOUT_S).items():
                self._sought[partition] = max(begin, self._sought[partition])
        self.positions.update(self._sought)

    def _begin_at_sought(self, client: Any, unsought: Collection[Partition]) -> None:
        self._begin_within_logs(client)
        client.incremental_assign(
            [TopicPartition(*partition) for partition in unsought]
            + [TopicPartition(*partition, at) for partition, at in self._sought.items()]
        )

    def on_revoke(self, client: Any, revoked: Collection[Any]) -> None:
        self.n_told += 1
        if self.closing:
            self._remove(_partitions(revoked))
            return
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
        self.n_told += 1
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
        self._on_gone()

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
