"""What only a real Kafka can do to the worker."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient

from pipeline.errors import InputError, TransportError
from pipeline.records import Message, Partition
from tests.pipeline.transport.clients import Client
from tests.support import (
    DEADLINE_S,
    KafkaTransport,
    RecordingListener,
    numbered,
    poll_both,
    poll_until_assigned,
    polls,
    read,
    unique_name,
    values,
)

# Port 1 is never listened on.
NOBODY = "127.0.0.1:1"

MakeTopic = Callable[[int], str]


@pytest.fixture
def kafka(client: Client, kafka_bootstrap_servers: str) -> Iterator[KafkaTransport]:
    transport = client.transport(kafka_bootstrap_servers)
    yield transport
    transport.close()


def test_a_server_that_does_not_answer_is_named_within_the_time_allowed(
    client: Client,
) -> None:
    with pytest.raises(TransportError, match=f"{NOBODY}: no server answered") as raised:
        client.consumer(
            bootstrap_servers=NOBODY, group_id="g", topic="t", connect_timeout_s=0.2
        )
    assert raised.value.retriable

    with pytest.raises(TransportError, match=f"{NOBODY}: no server answered"):
        client.producer(bootstrap_servers=NOBODY, connect_timeout_s=0.2)


def test_one_server_that_answers_is_enough(
    client: Client, kafka_bootstrap_servers: str
) -> None:
    servers = f"{NOBODY}, {kafka_bootstrap_servers}"

    client.producer(bootstrap_servers=servers).close(5.0)


def test_an_unknown_client_option_is_named_without_its_value(client: Client) -> None:
    with pytest.raises(InputError, match="sasl_pasword") as raised:
        client.producer(bootstrap_servers=NOBODY, client_options={"sasl_pasword": "s3cret"})
    assert "s3cret" not in str(raised.value)


def test_a_misspelt_security_protocol_does_not_silently_mean_no_security(
    client: Client,
) -> None:
    with pytest.raises(InputError, match=client.security_protocol) as raised:
        client.producer(
            bootstrap_servers=NOBODY, client_options={client.security_protocol: "sasl-ssl"}
        )
    assert "sasl-ssl" in str(raised.value)


def test_a_topic_name_that_kafka_would_refuse_is_refused(
    client: Client, kafka_bootstrap_servers: str
) -> None:
    with pytest.raises(InputError, match="no topic"):
        client.consumer(
            bootstrap_servers=kafka_bootstrap_servers, group_id="g", topic="no topic"
        )


def test_a_topic_that_the_broker_creates_is_created_by_reading_it(
    kafka: KafkaTransport,
) -> None:
    topic = unique_name("created-by-reading")
    consumer = kafka.consumer(topic, unique_name("group"))

    poll_until_assigned(consumer)

    assert consumer.assignment() == {Partition(topic, 0)}


def test_partitions_that_are_added_later_are_read_too(
    kafka: KafkaTransport, kafka_bootstrap_servers: str, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    listener = RecordingListener()
    consumer = kafka.consumer(topic, unique_name("group"), listener)
    poll_until_assigned(consumer)

    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    admin.create_partitions({topic: 3})
    admin.close()
    poll_until_assigned(consumer, 3)

    assert listener.revoked == []
    assert listener.assigned == [
        {Partition(topic, 0)},
        {Partition(topic, 1), Partition(topic, 2)},
    ]


def test_a_member_that_does_not_poll_loses_its_partitions_and_may_not_commit_them(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic, group_id = make_topic(2), unique_name("group")
    kafka.producer().send(numbered(topic, 20))
    listener = RecordingListener()
    hanging = kafka.consumer(topic, group_id, listener, max_poll_interval_s=1.0)
    next_offsets: dict[Partition, int] = {}
    for polled in polls(hanging, 20):
        next_offsets.update(polled.next_offsets)

    other = kafka.consumer(topic, group_id)
    repeated = read(other, 20)
    with pytest.raises(TransportError) as raised:
        hanging.commit(next_offsets, DEADLINE_S)
    poll_both(hanging, other)

    assert values(repeated) == list(range(20))
    # Not the end of it: the next poll is what tells whether the partitions are lost.
    assert raised.value.retriable
    assert listener.lost == [{Partition(topic, 0), Partition(topic, 1)}]
    assert listener.revoked == []


def test_a_member_that_only_keeps_alive_keeps_its_partitions(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic, group_id = make_topic(2), unique_name("group")
    kafka.producer().send(numbered(topic, 20))
    listener = RecordingListener()
    slow = kafka.consumer(topic, group_id, listener, max_poll_interval_s=3.0)
    read(slow, 20)

    until_s = time.monotonic() + 5.0
    while time.monotonic() < until_s:
        slow.keep_alive()
        time.sleep(0.1)
    kafka.producer().send(numbered(topic, 20, first=20))
    records = read(slow, 20)

    assert values(records) == list(range(20, 40))
    assert listener.assigned == [{Partition(topic, 0), Partition(topic, 1)}]
    assert (listener.revoked, listener.lost) == ([], [])


def test_what_was_sought_and_is_gone_is_no_reason_to_begin_at_the_end(
    client: Client, kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    kafka.producer().send(numbered(topic, 40))
    kafka.drop_before(Partition(topic, 0), 20)
    listener = RecordingListener(
        when_assigned=lambda _: consumer.seek(Partition(topic, 0), 10)
    )
    options: dict[str, Any] = {client.offset_reset: "latest"}
    consumer = kafka.consumer(topic, unique_name("group"), listener, **options)

    assert values(read(consumer, 20)) == list(range(20, 40))


def test_a_static_member_whose_id_is_taken_is_refused_for_good(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic, group_id = make_topic(1), unique_name("group")
    kafka.producer().send(numbered(topic, 1))
    first = kafka.consumer(topic, group_id, None, "worker-0")
    read(first, 1)

    second = kafka.consumer(topic, group_id, None, "worker-0")
    read(second, 1)

    with pytest.raises(TransportError, match=topic) as raised:
        first.commit({Partition(topic, 0): 1}, DEADLINE_S)
    assert not raised.value.retriable


def test_more_messages_than_the_client_may_hold_are_sent_in_order(
    client: Client, kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(2)
    n_messages = 2 * client.producer.MAX_QUEUED_MESSAGES + 1
    kafka.producer().send(numbered(topic, n_messages))

    records = read(
        kafka.consumer(topic, unique_name("group")), n_messages, max_records=5_000
    )

    for number in (0, 1):
        sent = [int(r.value or b"") for r in records if r.partition == number]
        assert sent == sorted(sent)
    assert values(records) == list(range(n_messages))


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "snappy", "zstd"])
def test_messages_arrive_whatever_the_compression(
    client: Client,
    kafka_bootstrap_servers: str,
    kafka: KafkaTransport,
    make_topic: MakeTopic,
    compression: str | None,
) -> None:
    topic = make_topic(1)
    producer = client.producer(
        bootstrap_servers=kafka_bootstrap_servers, compression=compression
    )
    producer.send(numbered(topic, 100))
    producer.close(5.0)

    records = read(kafka.consumer(topic, unique_name("group")), 100)

    assert values(records) == list(range(100))


def test_a_null_header_arrives_and_empty_if_the_client_writes_none(
    client: Client, kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    kafka.producer().send([Message(topic, b"value", headers=[("trace", None)])])

    (record,) = read(kafka.consumer(topic, unique_name("group")), 1)

    assert list(record.headers) == [("trace", None if client.name == "confluent" else b"")]
