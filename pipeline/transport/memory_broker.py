"""The broker behind `memory`: topics, consumer groups, stored offsets."""

import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import NamedTuple

from pipeline.errors import MessageTooLarge, TransportError
from pipeline.records import Headers, Message, Partition, Record
from pipeline.transport.base import Committed

# Kafka's own default for `message.max.bytes`.
DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
# And for `offset.metadata.max.bytes`.
MAX_NOTE_BYTES = 4_096

NOTHING = Committed(0, "")
"""What a group has stored of a partition before it stores anything."""


class MemoryRecord(NamedTuple):
    """One record as `MemoryConsumer.poll` returns it. See `records.Record`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Log:
    """The records of one partition. Dropping the oldest changes no offset."""

    def __init__(self) -> None:
        self.begin = 0
        """Offset of the oldest record that is kept."""
        self.records: list[MemoryRecord] = []

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.begin + len(self.records)

    def n_from(self, offset: int) -> int:
        """How many records are kept from `offset` on."""
        return max(0, self.end - max(offset, self.begin))

    def read(self, offset: int, max_records: int) -> list[MemoryRecord]:
        """Records from `offset` on; from the oldest kept, if that one is gone."""
        first = max(0, offset - self.begin)
        return self.records[first : first + max_records]

    def drop_before(self, offset: int) -> None:
        """Keep the records from `offset` on."""
        del self.records[: max(0, offset - self.begin)]
        self.begin = max(self.begin, offset)


class MemoryBroker:
    """Owns the topics and the consumer groups. Safe to use from several threads."""

    def __init__(
        self,
        n_partitions: int = 1,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        creates_topics: bool = True,
    ) -> None:
        """Args:
        n_partitions: of a topic that is created by its first use.
        max_message_bytes: largest key, value and headers together.
        creates_topics: whether a topic's first use creates it.
        """
        self._n_partitions = n_partitions
        self._max_message_bytes = max_message_bytes
        self._creates_topics = creates_topics
        self._logs_by_topic: dict[str, list[Log]] = {}
        self._groups: dict[str, Group] = {}
        self._epochs: dict[str, int] = {}
        self._n_keyless = 0
        self.changed = Condition()
        """Guards everything, and is notified when a poll may find something new."""

    def create_topic(self, topic: str, n_partitions: int) -> None:
        """Create `topic`; one that exists already stays as it is."""
        with self.changed:
            if topic not in self._logs_by_topic:
                self._logs_by_topic[topic] = [Log() for _ in range(n_partitions)]

    def append(self, messages: Iterable[Message]) -> None:
        """Publish `messages` in order. The cheap way to fill a topic.

        Raises:
            MessageTooLarge: one is; those before it are published.
            TransportError: a topic does not exist; as above.
        """
        now_ms = int(time.time() * 1000)
        with self.changed:
            for message in messages:
                self._append(message, now_ms)
            self.changed.notify_all()

    def check(self, messages: Iterable[Message]) -> None:
        """Whether `append` would take them all. Hold `changed` while using it.

        Raises:
            MessageTooLarge, TransportError: as `append`.
        """
        for message in messages:
            self._writable_logs(message)

    def next_epoch(self, transactional_id: str) -> int:
        """Begin a producer's time, and so end that of the one before. Hold `changed`."""
        self._epochs[transactional_id] = self.epoch(transactional_id) + 1
        return self._epochs[transactional_id]

    def epoch(self, transactional_id: str) -> int:
        """Whose time it is. Hold `changed`."""
        return self._epochs.get(transactional_id, 0)

    def records(self, topic: str) -> Sequence[Record]:
        """Everything kept of `topic`: by partition, in offset order within each."""
        with self.changed:
            return [record for log in self.logs(topic) for record in log.records]

    def truncate(self, topic: str) -> None:
        """Drop the records of `topic` that every group reading it has committed.

        Offsets stay what they are. A group reads a topic that it has a member on, or has
        committed for. A topic that no group reads is emptied.
        """
        with self.changed:
            readers = [group for group in self._groups.values() if group.reads(topic)]
            for number, log in enumerate(self.logs(topic)):
                partition = Partition(topic, number)
                committed = [
                    group.committed.get(partition, NOTHING).next_offset for group in readers
                ]
                log.drop_before(min([log.end, *committed]))

    def committed(self, group_id: str) -> Mapping[Partition, int]:
        """The group's stored offsets, of the next record to read."""
        with self.changed:
            stored = self.group(group_id).committed
            return {partition: each.next_offset for partition, each in stored.items()}

    def logs(self, topic: str) -> list[Log]:
        """The partitions of `topic`, created if need be; none if it does not exist.

        Hold `changed` while using them.
        """
        if self._creates_topics:
            self.create_topic(topic, self._n_partitions)
        return self._logs_by_topic.get(topic, [])

    def group(self, group_id: str) -> "Group":
        """One consumer group, created if need be. Hold `changed` while using it."""
        return self._groups.setdefault(group_id, Group())

    def _writable_logs(self, message: Message) -> list[Log]:
        size_bytes = _size_bytes(message)
        if size_bytes > self._max_message_bytes:
            raise MessageTooLarge(
                f"topic {message.topic!r}: message too large: {size_bytes} bytes, "
                f"the limit is {self._max_message_bytes}"
            )
        logs = self.logs(message.topic)
        if not logs:
            raise TransportError(
                f"memory: topic {message.topic!r} does not exist", retriable=True
            )
        return logs

    def _append(self, message: Message, now_ms: int) -> None:
        logs = self._writable_logs(message)
        if message.key is None:
            self._n_keyless += 1
            number = self._n_keyless % len(logs)
        else:
            # Not `hash`: it differs from one Python process to the next.
            number = zlib.crc32(message.key) % len(logs)
        timestamp_ms = now_ms if message.timestamp_ms is None else message.timestamp_ms
        logs[number].records.append(
            MemoryRecord(
                message.topic,
                number,
                logs[number].end,
                timestamp_ms,
                message.key,
                message.value,
                message.headers,
            )
        )


@dataclass(frozen=True, eq=False, slots=True)
class Member:
    """One consumer's membership, until another takes its id or it is evicted."""

    member_id: str
    topic: str


@dataclass(slots=True)
class Group:
    """Who is in a consumer group, and who owns which partition of its topics.

    Owners are known by id, so that a static member keeps its partitions while it
    restarts.
    """

    committed: dict[Partition, Committed] = field(default_factory=dict)
    owner: dict[Partition, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)

    def reads(self, topic: str) -> bool:
        """Whether it has a member on `topic`, or has committed for it."""
        return any(member.topic == topic for member in self.members.values()) or any(
            partition.topic == topic for partition in self.committed
        )

    def remove(self, member_id: str) -> None:
        """End a membership; its partitions are free at once."""
        self.members.pop(member_id, None)
        for partition, owner in list(self.owner.items()):
            if owner == member_id:
                del self.owner[partition]

    def target(self, topic: str, n_partitions: int) -> dict[Partition, str]:
        """Who should own what: as even as possible, moving as little as possible."""
        members = [m.member_id for m in self.members.values() if m.topic == topic]
        if not members:
            return {}
        partitions = [Partition(topic, number) for number in range(n_partitions)]
        at_least, n_with_one_more = divmod(n_partitions, len(members))
        # Who owns most already gets the one more, or it would have to move.
        owned = [self.owner.get(partition) for partition in partitions]
        members.sort(key=owned.count, reverse=True)
        room = {
            member_id: at_least + (place < n_with_one_more)
            for place, member_id in enumerate(members)
        }
        target: dict[Partition, str] = {}
        for partition, owner in zip(partitions, owned, strict=True):
            if owner is not None and room.get(owner, 0) > 0:
                target[partition] = owner
                room[owner] -= 1
        free = [member_id for member_id in members for _ in range(room[member_id])]
        homeless = [partition for partition in partitions if partition not in target]
        return target | dict(zip(homeless, free, strict=True))


def _size_bytes(message: Message) -> int:
    headers_bytes = sum(len(name) + len(value or b"") for name, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers_bytes
