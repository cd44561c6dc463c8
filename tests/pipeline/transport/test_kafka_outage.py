"""What a Kafka that is gone, or that hangs, costs: a bounded time and a clear line."""

import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from pipeline import kafka_listeners
from pipeline.errors import TransportError
from pipeline.kafka_server import LocalKafka
from pipeline.records import Partition
from pipeline.transport.base import Consumer, Producer
from tests.pipeline.transport.clients import Client
from tests.processes import hung
from tests.support import POLL_TIMEOUT_S, numbered, read, unique_name, values

# Of what is bounded by a time-out, beyond it: a busy machine, not another time-out.
SLACK_S = 1.5


def seconds(call: Callable[[], object]) -> float:
    begin_s = time.monotonic()
    call()
    return time.monotonic() - begin_s


@pytest.fixture(scope="module")
def server() -> Iterator[LocalKafka]:
    """A Kafka of its own: others would not like it to hang."""
    with LocalKafka() as server:
        yield server


def consumer_of(client: Client, server: LocalKafka) -> Consumer:
    consumer: Consumer = client.consumer(
        bootstrap_servers=server.bootstrap_servers, group_id=client.name, topic="topic"
    )
    return consumer


def producer_of(client: Client, server: LocalKafka, delivery_timeout_s: float) -> Producer:
    producer: Producer = client.producer(
        bootstrap_servers=server.bootstrap_servers, delivery_timeout_s=delivery_timeout_s
    )
    return producer


def new_topic(bootstrap_servers: str, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    admin.create_topics([NewTopic(topic, 1, replication_factor=1)])
    admin.close()


def test_a_commit_to_a_server_that_hangs_fails_in_time_and_may_be_tried_again(
    client: Client, server: LocalKafka
) -> None:
    consumer, producer = consumer_of(client, server), producer_of(client, server, 30.0)
    producer.send(numbered("topic", 1))
    next_offset = read(consumer, 1)[-1].offset + 1
    next_offsets = {Partition("topic", 0): next_offset}

    def commit() -> None:
        with pytest.raises(TransportError, match=r"'topic'.* within 0\.5 s") as raised:
            consumer.commit(next_offsets, 0.5)
        assert raised.value.retriable

    with hung(server):
        assert seconds(commit) < 0.5 + SLACK_S
    consumer.commit(next_offsets, 30.0)

    consumer.close(5.0)
    producer.close(5.0)


def test_what_is_committed_is_not_waited_for_beyond_the_time_allowed(
    client: Client, server: LocalKafka
) -> None:
    consumer, producer = consumer_of(client, server), producer_of(client, server, 30.0)
    partition = Partition("topic", 0)
    producer.send(numbered("topic", 1))
    consumer.commit({partition: read(consumer, 1)[-1].offset + 1}, 30.0)

    def ask() -> None:
        with pytest.raises(TransportError, match="'topic'") as raised:
            consumer.committed([partition], 0.5)
        assert raised.value.retriable

    with hung(server):
        assert seconds(ask) < 0.5 + SLACK_S
    assert consumer.committed([partition], 30.0).keys() == {partition}

    consumer.close(5.0)
    producer.close(5.0)


def test_a_member_and_a_producer_close_in_time_though_the_server_hangs(
    client: Client, server: LocalKafka
) -> None:
    consumer, producer = consumer_of(client, server), producer_of(client, server, 30.0)
    producer.send(numbered("topic", 1))
    read(consumer, 1)

    with hung(server):
        assert seconds(lambda: consumer.close(0.5)) < 0.5 + SLACK_S
        assert seconds(lambda: producer.close(0.5)) < 0.5 + SLACK_S


def test_a_poll_returns_in_time_though_the_server_hangs(
    client: Client, server: LocalKafka
) -> None:
    consumer = consumer_of(client, server)

    with hung(server):
        assert seconds(lambda: consumer.poll(10, 0.5)) < 0.5 + SLACK_S

    consumer.close(5.0)


def test_a_send_of_many_stretches_fails_in_time_though_the_server_hangs(
    client: Client, server: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.producer, "MAX_QUEUED_MESSAGES", 10)
    producer = producer_of(client, server, 2.0)
    producer.send(numbered("topic", 1))

    def send(n_messages: int) -> None:
        with pytest.raises(TransportError, match=server.bootstrap_servers) as raised:
            producer.send(numbered("topic", n_messages))
        assert raised.value.retriable

    with hung(server):
        assert seconds(lambda: send(1_000)) < 2.0 + SLACK_S
        # Without a connection by now: connecting again is part of it.
        assert seconds(lambda: send(1)) < 2.0 + SLACK_S
    producer.send(numbered("topic", 1))

    producer.close(5.0)


def test_a_send_is_bounded_as_a_whole_and_not_by_stretch(
    client: Client, server: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.producer, "MAX_QUEUED_MESSAGES", 1)
    producer = producer_of(client, server, 1.0)
    producer.send(numbered("topic", 1))

    # Each stretch takes some 0.1 ms: a server that is slow, not one that hangs.
    messages = numbered("topic", 50_000)

    def send() -> None:
        with pytest.raises(TransportError, match=r"50000 messages .* within 1 s") as raised:
            producer.send(messages)
        assert raised.value.retriable

    assert seconds(send) < 1.0 + SLACK_S

    producer.close(5.0)


def test_topics_are_not_said_to_be_missing_by_a_server_that_hangs(
    client: Client, server: LocalKafka
) -> None:
    producer = producer_of(client, server, 30.0)

    def check() -> None:
        with pytest.raises(TransportError, match=r"no answer .* within 0\.5 s") as raised:
            producer.check_topics(["topic", "other"], 0.5)
        assert raised.value.retriable

    with hung(server):
        assert seconds(check) < 0.5 + SLACK_S

    producer.close(5.0)


def test_a_topic_that_the_server_does_not_create_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = kafka_listeners._PROPERTIES.replace("enable=true", "enable=false")
    monkeypatch.setattr(kafka_listeners, "_PROPERTIES", properties)
    with LocalKafka() as server:
        producer = producer_of(client, server, 30.0)

        assert producer.check_topics(["missing", "no topic"], 1.0) == [
            "missing",
            "no topic",
        ]
        assert producer.check_topics(["missing"], 1.0) == ["missing"]
        assert producer.check_topics([], 1.0) == []

        producer.close(1.0)


def test_a_topic_that_is_created_after_its_reader_is_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = kafka_listeners._PROPERTIES.replace("enable=true", "enable=false")
    monkeypatch.setattr(kafka_listeners, "_PROPERTIES", properties)
    with LocalKafka() as server:
        transport = client.transport(server.bootstrap_servers)
        topic = unique_name("late")
        consumer = transport.consumer(topic, "group")
        assert consumer.poll(10, 1.0).records == []

        new_topic(server.bootstrap_servers, topic)
        transport.producer().send(numbered(topic, 3))

        assert values(read(consumer, 3)) == [0, 1, 2]
        transport.close()


def test_a_server_that_goes_away_fails_the_send_in_time_and_leaves_polls_quiet(
    client: Client,
) -> None:
    with LocalKafka() as server:
        consumer = client.consumer(
            bootstrap_servers=server.bootstrap_servers,
            group_id="group",
            topic="topic",
        )
        producer = client.producer(
            bootstrap_servers=server.bootstrap_servers,
            delivery_timeout_s=1.0,
            connect_timeout_s=1.0,
        )
        producer.send(numbered("topic", 1))
        read(consumer, 1)

    with pytest.raises(TransportError, match=server.bootstrap_servers) as raised:
        producer.send(numbered("topic", 1))
    assert raised.value.retriable
    with pytest.raises(TransportError, match="no server answered"):
        producer.send(numbered("topic", 1))
    assert consumer.poll(10, POLL_TIMEOUT_S).records == []
    producer.close(5.0)
    consumer.close(1.0)
