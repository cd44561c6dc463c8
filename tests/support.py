"""What several tests need: waiting, names, and both transports behind one face."""

import itertools
import resource
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from kafka.admin import NewTopic

from pipeline.records import Message, Partition, Record, Records
from pipeline.transport.base import (
    Committed,
    Consumer,
    Producer,
    RebalanceListener,
    TransactionalProducer,
)
from pipeline.transport.choose import ClientName, clients
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.transport.memory_transactions import MemoryTransactions

T = TypeVar("T")

# Far beyond what anything takes on a busy machine: it only ends a test that hangs.
DEADLINE_S = 30.0
POLL_TIMEOUT_S = 0.05
MIB = 2**20


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = DEADLINE_S) -> T:
    """Call `condition` until it is truthy, and return what it then returned.

    Raises:
        AssertionError: `what` did not come true within the deadline.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (outcome := condition()):
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(0.005)
    return outcome


@contextmanager
def memory_left(n_bytes: int) -> Iterator[None]:
    """No more than so much is to be had; what threads and buffers take is taken before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    used_bytes = n_pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def unique_name(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def numbered(
    topic: str,
    n_messages: int,
    n_keys: int = 20,
    first: int = 0,
    source: Partition | None = None,
) -> list[Message]:
    """Messages whose values count up, with keys that take turns."""
    return [
        Message(topic, str(i).encode(), f"unit-{i % n_keys}".encode(), source=source)
        for i in range(first, first + n_messages)
    ]


def partitions(topic: str, n_partitions: int) -> frozenset[Partition]:
    return frozenset(Partition(topic, number) for number in range(n_partitions))


def values(records: Sequence[Record]) -> list[int]:
    return sorted(int(record.value or b"-1") for record in records)


def polls(consumer: Consumer, n_records: int, max_records: int = 500) -> list[Records]:
    """Poll until `n_records` have come, and return what each poll returned."""
    polled: list[Records] = []

    def all_have_come() -> bool:
        polled.append(consumer.poll(max_records, POLL_TIMEOUT_S))
        return sum(len(each.records) for each in polled) >= n_records

    wait_until(all_have_come, f"{n_records} records have come")
    return polled


def read(consumer: Consumer, n_records: int, max_records: int = 500) -> list[Record]:
    """Poll until `n_records` have come, and return them."""
    polled = polls(consumer, n_records, max_records)
    return [record for each in polled for record in each.records]


def poll_until_assigned(consumer: Consumer, n_partitions: int = 1) -> None:
    """Poll, which must return nothing, until so many partitions are assigned."""

    def is_assigned() -> bool:
        assert consumer.poll(500, POLL_TIMEOUT_S).records == []
        return len(consumer.assignment()) == n_partitions

    wait_until(is_assigned, f"{n_partitions} partitions are assigned")


def poll_until_shared(one: Consumer, other: Consumer, n_partitions: int) -> list[Record]:
    """Poll both until all partitions are assigned and each has half; what they read."""
    records: list[Record] = []

    def is_shared() -> bool:
        records.extend(poll_both(one, other))
        n_each = (len(one.assignment()), len(other.assignment()))
        return n_each == (n_partitions // 2, n_partitions // 2)

    wait_until(is_shared, "the partitions are shared")
    return records


def poll_both(one: Consumer, other: Consumer) -> list[Record]:
    """One poll of each: a rebalance needs every member to take part."""
    return list(
        itertools.chain.from_iterable(
            consumer.poll(500, POLL_TIMEOUT_S).records for consumer in (one, other)
        )
    )


class RecordingListener:
    """Remembers what it was told. What it is given runs while that is going on."""

    def __init__(
        self,
        when_revoked: Callable[[Collection[Partition]], None] | None = None,
        when_assigned: Callable[[Collection[Partition]], None] | None = None,
    ) -> None:
        self.assigned: list[frozenset[Partition]] = []
        self.revoked: list[frozenset[Partition]] = []
        self.lost: list[frozenset[Partition]] = []
        self._when_revoked = when_revoked
        self._when_assigned = when_assigned

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        self.assigned.append(frozenset(partitions))
        if self._when_assigned is not None:
            self._when_assigned(partitions)

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        self.revoked.append(frozenset(partitions))
        if self._when_revoked is not None:
            self._when_revoked(partitions)

    def on_lost(self, partitions: Collection[Partition]) -> None:
        self.lost.append(frozenset(partitions))


class Transport(Protocol):
    """A transport under test. Whatever it opens, it closes when the test ends."""

    def make_topic(
        self, n_partitions: int = 1, max_message_bytes: int | None = None
    ) -> str: ...

    def producer(self) -> Producer: ...

    def consumer(
        self,
        topic: str,
        group_id: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
    ) -> Consumer: ...

    def committed_reader(
        self, topic: str, group_id: str, listener: RebalanceListener | None = None
    ) -> Consumer:
        """One that reads what is committed."""

    def transactional(
        self, transactional_id: str, delivery_timeout_s: float = 30.0
    ) -> TransactionalProducer: ...

    def set_offsets(self, group_id: str, next_offsets: Mapping[Partition, int]) -> None:
        """As Kafka's own tool does, for a group without members."""

    def drop_before(self, partition: Partition, offset: int) -> None:
        """As retention does."""

    def close(self) -> None: ...


class MemoryTransport:
    def __init__(self) -> None:
        self._broker = MemoryBroker()

    def make_topic(
        self, n_partitions: int = 1, max_message_bytes: int | None = None
    ) -> str:
        if max_message_bytes is not None:
            self._broker = MemoryBroker(max_message_bytes=max_message_bytes)
        topic = unique_name("topic")
        self._broker.create_topic(topic, n_partitions)
        return topic

    def producer(self) -> Producer:
        return MemoryProducer(self._broker)

    def consumer(
        self,
        topic: str,
        group_id: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
    ) -> MemoryConsumer:
        return MemoryConsumer(
            self._broker,
            group_id=group_id,
            topic=topic,
            listener=listener,
            group_instance_id=group_instance_id,
        )

    committed_reader = consumer

    def transactional(
        self, transactional_id: str, delivery_timeout_s: float = 30.0
    ) -> MemoryTransactions:
        return MemoryTransactions(self._broker, transactional_id=transactional_id)

    def set_offsets(self, group_id: str, next_offsets: Mapping[Partition, int]) -> None:
        with self._broker.changed:
            self._broker.group(group_id).committed.update(
                {p: Committed(offset, "") for p, offset in next_offsets.items()}
            )

    def drop_before(self, partition: Partition, offset: int) -> None:
        with self._broker.changed:
            self._broker.logs(partition.topic)[partition.number].drop_before(offset)

    def close(self) -> None:
        pass


class KafkaTransport:
    CLIENT: ClientName = "kafka-python"
    ISOLATION_LEVEL = "isolation_level"

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._opened: list[Consumer | Producer] = []

    def make_topic(
        self, n_partitions: int = 1, max_message_bytes: int | None = None
    ) -> str:
        return make_topic(self._bootstrap_servers, n_partitions, max_message_bytes)

    def producer(self) -> Producer:
        producer = KafkaPythonProducer(bootstrap_servers=self._bootstrap_servers)
        self._opened.append(producer)
        return producer

    def consumer(
        self,
        topic: str,
        group_id: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
        max_poll_interval_s: float = 300.0,
        **client_options: object,
    ) -> KafkaPythonConsumer:
        consumer = KafkaPythonConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=group_id,
            topic=topic,
            listener=listener,
            group_instance_id=group_instance_id,
            max_poll_interval_s=max_poll_interval_s,
            client_options={
                # A member hears of a rebalance with its next heartbeat, and of new
                # partitions with its next look at the metadata.
                "heartbeat_interval_ms": 100,
                "metadata_max_age_ms": 500,
                **client_options,
            },
        )
        self._opened.append(consumer)
        return consumer

    def committed_reader(
        self, topic: str, group_id: str, listener: RebalanceListener | None = None
    ) -> Consumer:
        options: dict[str, Any] = {self.ISOLATION_LEVEL: "read_committed"}
        return self.consumer(topic, group_id, listener, **options)

    def transactional(
        self, transactional_id: str, delivery_timeout_s: float = 30.0
    ) -> TransactionalProducer:
        producer = clients(self.CLIENT).transactional_producer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=transactional_id,
            delivery_timeout_s=delivery_timeout_s,
        )
        self._opened.append(producer)
        return producer

    def set_offsets(self, group_id: str, next_offsets: Mapping[Partition, int]) -> None:
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
        }
        with _admin(self._bootstrap_servers) as admin:
            admin.alter_group_offsets(group_id, offsets)

    def drop_before(self, partition: Partition, offset: int) -> None:
        with _admin(self._bootstrap_servers) as admin:
            admin.delete_records({TopicPartition(*partition): offset})

    def close(self) -> None:
        for each in self._opened:
            each.close(5.0)


def make_topic(
    bootstrap_servers: str, n_partitions: int, max_message_bytes: int | None = None
) -> str:
    """Create a topic of a name that no other test uses."""
    topic = unique_name("topic")
    # Some tests write records of 1970, and Kafka drops what is a week old.
    configs: dict[str, int] = {"retention.ms": -1}
    if max_message_bytes is not None:
        configs["max.message.bytes"] = max_message_bytes
    with _admin(bootstrap_servers) as admin:
        admin.create_topics(
            [NewTopic(topic, n_partitions, replication_factor=1, topic_configs=configs)]
        )
    return topic


@contextmanager
def _admin(bootstrap_servers: str) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        yield admin
    finally:
        admin.close()
