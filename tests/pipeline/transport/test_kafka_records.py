"""Record batches that a client alone would stop at, at every start, or pass over."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecordBatch

from pipeline.errors import TransportError
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message, Partition
from pipeline.transport.base import Consumer
from pipeline.transport.confluent_records import LOST_NAME
from pipeline.transport.kafka_python import KafkaPythonProducer
from pipeline.transport.kafka_records import PartitionRecords, UnreadableBatch
from tests.pipeline.transport.clients import Client
from tests.support import (
    DEADLINE_S,
    POLL_TIMEOUT_S,
    KafkaTransport,
    make_topic,
    read,
    unique_name,
)


class Latin1(str):
    """A header name that goes out as Latin-1, whatever kafka-python encodes it as."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalKafka]:
    """A Kafka whose files can be reached."""
    with LocalKafka() as server:
        yield server


@pytest.fixture
def kafka(client: Client, server: LocalKafka) -> Iterator[KafkaTransport]:
    transport = client.transport(server.bootstrap_servers)
    yield transport
    transport.close()


def producer_of(server: LocalKafka, compression: str | None) -> KafkaPythonProducer:
    return KafkaPythonProducer(
        bootstrap_servers=server.bootstrap_servers, compression=compression
    )


def poll_until_refused(consumer: Consumer) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        consumer.poll(500, POLL_TIMEOUT_S)


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "snappy", "zstd"])
def test_a_record_whose_header_name_is_not_utf_8_arrives_whole_among_the_others(
    client: Client, server: LocalKafka, kafka: KafkaTransport, compression: str | None
) -> None:
    topic = make_topic(server.bootstrap_servers, n_partitions=1)
    producer = producer_of(server, compression)
    odd = [(Latin1("café"), b"\xff\x00"), (Latin1("Ünit"), b""), ("trace", b"1")]
    headers = [[("trace", b"0")], odd, odd, [], odd, []]
    sent = [Message(topic, b"value \xff %d" % i, b"key \xff", headers[i]) for i in range(6)]
    producer.send(sent)

    records = read(kafka.consumer(topic, unique_name("group")), 6)

    assert [(r.offset, r.key, r.value) for r in records] == [
        (offset, message.key, message.value) for offset, message in enumerate(sent)
    ]
    names = [r"caf\xe9", r"\xdcnit", "trace"]
    if client.name == "confluent":
        # It tells the first of such names and no other.
        names[1] = LOST_NAME
    for record, message in zip(records, sent, strict=True):
        expected = names if message.headers is odd else [n for n, _ in message.headers]
        assert [name for name, _ in record.headers] == expected
        assert [v for _, v in record.headers] == [v for _, v in message.headers]
    # As a dead letter is, with its headers.
    producer.send([Message(topic, b"again", headers=records[1].headers)])
    producer.close(5.0)


def test_a_corrupt_batch_is_named_with_what_an_operator_can_do_and_can_be_skipped(
    server: LocalKafka, kafka: KafkaTransport
) -> None:
    topic, group_id = make_topic(server.bootstrap_servers, 1), unique_name("group")
    producer = producer_of(server, None)
    for value in (b"before", b"broken", b"after"):
        producer.send([Message(topic, value), Message(topic, value)])
    producer.close(5.0)
    damage(server, topic, b"broken", b"BROKEN")

    consumer = kafka.consumer(topic, group_id)
    assert [r.value for r in read(consumer, 2)] == [b"before"] * 2
    # Again and again: a caller that goes on must neither hang nor lose records.
    for _ in range(2):
        with pytest.raises(TransportError) as raised:
            poll_until_refused(consumer)
        text = str(raised.value)
        assert not raised.value.retriable
        assert f"{topic}[0] offset 2: " in text
        assert "failed crc" in text.lower()
        assert f"--group {group_id} --reset-offsets" in text
        assert f"--topic {topic}:0 --to-offset 4" in text
        assert "\n" not in text
    consumer.commit({Partition(topic, 0): 4}, DEADLINE_S)
    consumer.close(5.0)

    assert [r.value for r in read(kafka.consumer(topic, group_id), 2)] == [b"after"] * 2


def test_whatever_a_decompressor_raises_is_an_unreadable_batch() -> None:
    builder = MemoryRecordsBuilder(magic=2, compression_type=1, batch_size=10_000, offset=7)
    for _ in range(100):
        builder.append(timestamp=0, key=None, value=b"value")
    builder.close()
    batch = bytearray(builder.buffer())
    batch[DefaultRecordBatch.HEADER_STRUCT.size] ^= 0xFF  # gzip's own first byte

    records = PartitionRecords(
        7, TopicPartition("topic", 3), MemoryRecords(batch), check_crcs=False
    )

    with pytest.raises(
        UnreadableBatch, match=r"topic\[3\] offset 7: .*ends before offset 107"
    ) as raised:
        records.take(10)
    assert raised.value.next_offset == 107


def damage(server: LocalKafka, topic: str, old: bytes, new: bytes) -> None:
    """Replace bytes within a topic on the disk of its server."""
    assert server._folder is not None
    (segment,) = (server._folder / "data" / f"{topic}-0").glob("*.log")
    content = Path(segment).read_bytes()
    assert old in content
    with segment.open("r+b") as file:
        file.seek(content.index(old))
        file.write(new)
