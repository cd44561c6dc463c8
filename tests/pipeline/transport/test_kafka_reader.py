"""Reading a topic without being a member of any group, on a real Kafka."""

from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from pipeline.errors import InputError, TransportError
from pipeline.records import Message, Record
from pipeline.transport import kafka_reader
from pipeline.transport.kafka_python import KafkaPythonProducer
from pipeline.transport.kafka_reader import KafkaReader
from tests.support import wait_until


def send(servers: str, messages: list[Message]) -> None:
    producer = KafkaPythonProducer(bootstrap_servers=servers)
    try:
        producer.send(messages)
    finally:
        producer.close(5)


def to_the_end(reader: KafkaReader) -> list[Record]:
    records: list[Record] = []

    def is_read() -> bool:
        records.extend(reader.poll(7, 0.1))
        return reader.has_caught_up()

    wait_until(is_read, "all is read")
    return records


def numbers(records: list[Record]) -> list[int]:
    return sorted(int(record.value or b"") for record in records)


def test_all_partitions_are_read_to_the_end_again_and_again(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(3)
    send(kafka_bootstrap_servers, [Message(topic, b"%d" % n, b"%d" % n) for n in range(50)])

    for _ in range(2):
        with KafkaReader(
            bootstrap_servers=kafka_bootstrap_servers, topic=topic, since_s=0.0
        ) as reader:
            assert numbers(to_the_end(reader)) == list(range(50))


def test_reading_begins_at_a_time(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(2)
    send(
        kafka_bootstrap_servers,
        [
            Message(topic, b"%d" % n, b"%d" % n, timestamp_ms=1_795_000_000_000 + 1000 * n)
            for n in range(50)
        ],
    )

    with KafkaReader(
        bootstrap_servers=kafka_bootstrap_servers, topic=topic, since_s=1_795_000_040.0
    ) as reader:
        assert numbers(to_the_end(reader)) == list(range(40, 50))


def test_what_comes_later_is_read_also_from_partitions_that_are_new(
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka_reader, "METADATA_MAX_AGE_S", 0.5)
    monkeypatch.setattr(kafka_reader, "LOOK_FOR_PARTITIONS_EVERY_S", 0.1)
    topic = make_topic(1)
    with KafkaReader(
        bootstrap_servers=kafka_bootstrap_servers, topic=topic, since_s=0.0
    ) as reader:
        assert to_the_end(reader) == []
        admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
        admin.create_partitions({topic: NewPartitions(4)})
        admin.close()
        send(
            kafka_bootstrap_servers,
            [Message(topic, b"%d" % n, b"%d" % n) for n in range(50)],
        )
        records: list[Record] = []

        def has_all() -> bool:
            records.extend(reader.poll(100, 0.1))
            return len(records) >= 50

        wait_until(has_all, "all is read")

    assert numbers(records) == list(range(50))
    assert {record.partition for record in records} > {0}


def test_a_topic_that_does_not_exist_is_refused_and_not_made(
    kafka_bootstrap_servers: str,
) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="there is no such topic"):
            KafkaReader(
                bootstrap_servers=kafka_bootstrap_servers, topic="never.made", since_s=0.0
            )


def test_without_a_broker_it_waits_only_so_long() -> None:
    with pytest.raises(TransportError, match="no server answered within"):
        KafkaReader(
            bootstrap_servers="127.0.0.1:1",
            topic="alerts",
            since_s=0.0,
            connect_timeout_s=0.5,
        )
