"""Kafka in memory: for tests, and for scoring files with the code that runs live.

It keeps the promises of `base.py` and passes the same contract suite as the real one.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from itertools import count

from pipeline.errors import TransportError
from pipeline.records import Message, Partition, Record, Records
from pipeline.transport.base import NO_NOTES, Committed, RebalanceListener
from pipeline.transport.client import NOTE_TOO_LARGE
from pipeline.transport.memory_broker import (
    MAX_NOTE_BYTES,
    NOTHING,
    Member,
    MemoryBroker,
)

__all__ = ["MemoryBroker", "MemoryConsumer", "MemoryProducer"]


class MemoryProducer:
    """Publishes to a `MemoryBroker`. See `base.Producer`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._closed = False

    def send(self, messages: Sequence[Message]) -> None:
        if self._closed:
            raise TransportError("memory: producer is closed", retriable=False)
        self._broker.append(messages)

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        with self._broker.changed:
            return [topic for topic in topics if not self._broker.logs(topic)]

    def close(self, timeout_s: float) -> None:
        self._closed = True


class MemoryConsumer:
    """One member of a group, subscribed to one topic of a broker. See `base.Consumer`.

    Rebalances are cooperative, as with Kafka: a partition moves once its owner has
    polled, been told and returned.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        group_id: str,
        topic: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._listener = listener
        self._is_static = group_instance_id is not None
        self._name = f"memory: group {group_id!r} on topic {topic!r}"
        self._closed = False
        self._member = Member(group_instance_id or f"#{next(_member_numbers)}", topic)
        # Insertion order is the order in which partitions are served.
        self._positions: dict[Partition, int] = {}
        with broker.changed:
            self._group = broker.group(group_id)
            self._group.members[self._member.member_id] = self._member

    def poll(self, max_records: int, timeout_s: float) -> Records:
        self._refuse_if_closed()
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._rebalance()
            with self._broker.changed:
                records = self._take(max_records)
                remaining_s = deadline_s - time.monotonic()
                if records.records or remaining_s <= 0:
                    return records
                self._broker.changed.wait(remaining_s)

    def keep_alive(self) -> None:
        self._refuse_if_closed()
        self._rebalance()

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        if not self._broker.changed.acquire(timeout=max(0.0, timeout_s)):
            raise TransportError(
                f"{self._name}: a commit was not answered within {timeout_s:g} s",
                retriable=True,
            )
        try:
            if foreign := [p for p in next_offsets if not self._owns(p)]:
                raise TransportError(
                    f"{self._name}: cannot commit {', '.join(map(str, foreign))}: "
                    "reassigned to another member",
                    retriable=False,
                )
            if any(len(notes.get(p, "")) > MAX_NOTE_BYTES for p in next_offsets):
                raise TransportError(f"{self._name}: {NOTE_TOO_LARGE}", retriable=False)
            self._group.committed.update(
                {
                    partition: Committed(offset, notes.get(partition, ""))
                    for partition, offset in next_offsets.items()
                }
            )
        finally:
            self._broker.changed.release()

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> Mapping[Partition, Committed]:
        with self._broker.changed:
            known = self._group.committed
            return {p: known[p] for p in partitions if p in known}

    def seek(self, partition: Partition, offset: int) -> None:
        log = self._broker.logs(self._topic)[partition.number]
        self._positions[partition] = max(offset, log.begin)

    def assignment(self) -> frozenset[Partition]:
        return frozenset(self._positions)

    def lag(self) -> Mapping[Partition, int]:
        with self._broker.changed:
            logs = self._broker.logs(self._topic)
            return {
                partition: logs[partition.number].n_from(position)
                for partition, position in self._positions.items()
            }

    def close(self, timeout_s: float) -> None:
        self._closed = True
        self._positions.clear()
        if not self._is_static:
            self.evict()

    def evict(self) -> None:
        """Throw this member out of its group, as Kafka does with one that hangs.

        Its partitions are free at once; its next poll tells it that they are lost.
        """
        with self._broker.changed:
            if self._group.members.get(self._member.member_id) is self._member:
                self._group.remove(self._member.member_id)
                self._broker.changed.notify_all()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise TransportError(f"{self._name}: consumer is closed", retriable=False)

    def _take(self, max_records: int) -> Records:
        logs = self._broker.logs(self._topic)
        records: list[Record] = []
        next_offsets: dict[Partition, int] = {}
        for partition, position in list(self._positions.items()):
            room = max_records - len(records)
            log = logs[partition.number]
            if room == 0 or log.n_from(position) == 0:
                continue
            records += log.read(position, room)
            next_offsets[partition] = records[-1].offset + 1
            # To the end of the line, so that a busy partition does not starve the rest.
            del self._positions[partition]
            self._positions[partition] = next_offsets[partition]
        return Records(records=records, next_offsets=next_offsets)

    def _rebalance(self) -> None:
        """Give up and take over what the group's members and partitions now demand.

        The listener is called without the lock: it may commit, or wait for others.
        """
        lost = self._rejoin()
        if lost and self._listener is not None:
            self._listener.on_lost(lost)
        revoked = self._surplus()
        try:
            if revoked and self._listener is not None:
                self._listener.on_revoked(revoked)
        finally:
            self._release(revoked)
        assigned = self._take_over()
        if assigned and self._listener is not None:
            self._listener.on_assigned(assigned)

    def _rejoin(self) -> frozenset[Partition]:
        """Be a member, again if need be; return what was lost with the membership."""
        with self._broker.changed:
            member = self._group.members.setdefault(self._member.member_id, self._member)
            if member is not self._member:
                raise TransportError(
                    f"{self._name}: another consumer runs as {member.member_id!r}",
                    retriable=False,
                )
            # Ownership ends with the membership and nowhere else.
            lost = frozenset(p for p in self._positions if not self._owns(p))
        for partition in lost:
            del self._positions[partition]
        return lost

    def _surplus(self) -> frozenset[Partition]:
        """Stop reading what should be another member's, and return it."""
        with self._broker.changed:
            target = self._target()
        surplus = frozenset(
            p for p in self._positions if target.get(p) != self._member.member_id
        )
        for partition in surplus:
            del self._positions[partition]
        return surplus

    def _release(self, partitions: frozenset[Partition]) -> None:
        if not partitions:
            return
        with self._broker.changed:
            for partition in partitions:
                if self._owns(partition):
                    del self._group.owner[partition]
            self._broker.changed.notify_all()

    def _take_over(self) -> frozenset[Partition]:
        """Become the owner of what should be ours and is nobody else's."""
        with self._broker.changed:
            if self._group.members.get(self._member.member_id) is not self._member:
                return frozenset()
            assigned = frozenset(
                partition
                for partition, member_id in self._target().items()
                if member_id == self._member.member_id
                and self._group.owner.get(partition, member_id) == member_id
                and partition not in self._positions
            )
            for partition in sorted(assigned):
                self._group.owner[partition] = self._member.member_id
                committed = self._group.committed.get(partition, NOTHING)
                self._positions[partition] = committed.next_offset
        return assigned

    def _target(self) -> Mapping[Partition, str]:
        n_partitions = len(self._broker.logs(self._topic))
        return self._group.target(self._topic, n_partitions)

    def _owns(self, partition: Partition) -> bool:
        return self._group.owner.get(partition) == self._member.member_id


_member_numbers = count()
