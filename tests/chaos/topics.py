"""Topics of a chaos run: written, and read as a whole."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from pipeline.records import Record
from pipeline.transport.memory_broker import MemoryRecord
from tests import builders
from tests.chaos.stream import FIRST_TIME_S, STEP_S
from trainer.history import History


def history(values_NF: np.ndarray) -> History:
    """What the detector is trained on."""
    n = len(values_NF)
    return replace(
        builders.history(values_NF.astype(np.float32)),
        sensors=builders.SENSORS,
        time_s_N=(FIRST_TIME_S - STEP_S * np.arange(n, 0, -1)).astype(np.float64),
    )


def create(servers: str, topic: str, n_partitions: int) -> None:
    """Create a topic."""
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(topic, n_partitions, 1)])
    admin.close()


class Writer:
    """Writes each record once, in order, through whatever the broker does."""

    def __init__(self, servers: str) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=servers,
            acks="all",
            enable_idempotence=True,
            retries=1_000,
            delivery_timeout_ms=120_000,
            linger_ms=20,
        )

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._producer.close(timeout=10)

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        """Hand one over."""
        self._producer.send(topic, value, key)

    def flush(self) -> None:
        """Wait until all are written."""
        self._producer.flush(timeout=120)


def read(servers: str, topic: str, n_partitions: int) -> list[Record]:
    """All of a topic that committed transactions or nobody's hold, by partition.

    Behind a transaction that a killed worker has left open it has to wait for its end.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    partitions = [TopicPartition(topic, number) for number in range(n_partitions)]
    consumer.assign(partitions)
    end_of = ends(servers, topic, n_partitions)
    records: list[Record] = []
    while any(consumer.position(p) < end_of[p.partition] for p in partitions):
        for found in consumer.poll(timeout_ms=1_000).values():
            records += [
                MemoryRecord(
                    r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers
                )
                for r in found
            ]
    consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def ends(servers: str, topic: str, n_partitions: int) -> Mapping[int, int]:
    """The offset behind the last record of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers)
    partitions = [TopicPartition(topic, number) for number in range(n_partitions)]
    found = consumer.end_offsets(partitions)
    consumer.close()
    return {partition.partition: end for partition, end in found.items()}


def committed(servers: str, group_id: str, ends: Mapping[int, int]) -> Mapping[int, int]:
    """What the group has committed of the topic `readings`, 0 where nothing."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers, group_id=group_id, enable_auto_commit=False
    )
    found = {
        number: consumer.committed(TopicPartition("readings", number)) or 0
        for number in ends
    }
    consumer.close()
    return found
