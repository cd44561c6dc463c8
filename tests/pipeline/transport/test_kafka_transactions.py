"""What keeps a member that is out of date from storing anything, and what a Kafka that
hangs does to a transaction."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.errors import TransportError
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message, Partition
from pipeline.transport.base import Committed
from tests.pipeline.transport.clients import Client
from tests.processes import hung
from tests.support import (
    DEADLINE_S,
    KafkaTransport,
    RecordingListener,
    numbered,
    poll_both,
    poll_until_assigned,
    poll_until_shared,
    polls,
    read,
    unique_name,
    values,
    wait_until,
)

# Of what is bounded by a time-out, beyond it: a busy machine, not another time-out.
SLACK_S = 1.5

MakeTopic = Callable[[int], str]


@pytest.fixture
def kafka(client: Client, kafka_bootstrap_servers: str) -> Iterator[KafkaTransport]:
    transport = client.transport(kafka_bootstrap_servers)
    yield transport
    transport.close()


def published(kafka: KafkaTransport, topic: str) -> list[int]:
    """All that is published, to the last: what is sent now comes behind it."""
    kafka.producer().send([Message(topic, b"1000000", b"last")])
    reader = kafka.committed_reader(topic, unique_name("reader"))
    found: list[int] = []
    while 1_000_000 not in found:
        found += values(read(reader, 1))
    return sorted(found)[:-1]


def stored(kafka: KafkaTransport, group_id: str, partition: Partition) -> Committed | None:
    """Asked on a connection of its own: on a member's it would wait for a rebalance."""
    asking = kafka.committed_reader(partition.topic, group_id)
    return asking.committed([partition], DEADLINE_S).get(partition)


def test_a_generation_that_is_over_is_refused_by_the_broker_and_the_present_one_is_not(
    kafka: KafkaTransport, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, alerts, group_id = make_topic(2), make_topic(1), unique_name("group")
    first: Any = kafka.committed_reader(readings, group_id)
    producer = kafka.transactional(unique_name("worker"))
    producer.send(numbered(alerts, 3))
    poll_until_assigned(first, 2)
    outdated = first.in_transaction(dict.fromkeys(first.assignment(), 1), {})
    second = kafka.committed_reader(readings, group_id)
    poll_until_shared(first, second, 2)
    (partition,) = first.assignment()

    with monkeypatch.context() as patch:
        patch.setattr(first, "in_transaction", lambda *_: outdated)
        with pytest.raises(TransportError) as raised:
            producer.commit(first, {partition: 1}, DEADLINE_S)
    assert raised.value.retriable
    assert stored(kafka, group_id, partition) is None

    def is_committed() -> bool:
        # The rebalance may not be quite over.
        poll_both(first, second)
        try:
            producer.commit(first, {partition: 1}, DEADLINE_S)
        except TransportError:
            return False
        return True

    wait_until(is_committed, "the commit is taken")
    assert published(kafka, alerts) == [0, 1, 2]
    assert stored(kafka, group_id, partition) == Committed(1, "")


def test_a_member_that_has_lost_its_partitions_publishes_nothing_of_them(
    client: Client, kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    readings, alerts, group_id = make_topic(2), make_topic(1), unique_name("group")
    kafka.producer().send(numbered(readings, 20))
    producer = kafka.transactional(unique_name("worker"))
    listener = RecordingListener()
    options: dict[str, Any] = dict(client.read_committed)
    hanging = kafka.consumer(
        readings, group_id, listener, max_poll_interval_s=1.0, **options
    )
    next_offsets: dict[Partition, int] = {}
    for polled in polls(hanging, 20):
        next_offsets.update(polled.next_offsets)
    producer.send(numbered(alerts, 3, source=next(iter(next_offsets))))

    other = kafka.committed_reader(readings, group_id)
    repeated = read(other, 20)
    with pytest.raises(TransportError):
        producer.commit(hanging, next_offsets, DEADLINE_S)
    poll_both(hanging, other)
    producer.withdraw(next_offsets.keys(), DEADLINE_S)

    assert values(repeated) == list(range(20))
    assert listener.lost == [next_offsets.keys()]
    assert published(kafka, alerts) == []
    assert [stored(kafka, group_id, partition) for partition in next_offsets] == [None] * 2


def test_long_notes_of_many_partitions_are_stored_with_and_without_a_transaction(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(300)
    consumer = kafka.committed_reader(topic, unique_name("group"))
    poll_until_assigned(consumer, 300)
    all_of_it = sorted(consumer.assignment())
    notes = {partition: f"{partition.number}" + 4_000 * "x" for partition in all_of_it}

    consumer.commit(dict.fromkeys(all_of_it, 1), DEADLINE_S, notes)
    assert consumer.committed(all_of_it, DEADLINE_S) == {
        partition: Committed(1, notes[partition]) for partition in all_of_it
    }

    producer = kafka.transactional(unique_name("worker"))
    producer.commit(consumer, dict.fromkeys(all_of_it, 2), DEADLINE_S, notes)
    assert consumer.committed(all_of_it, DEADLINE_S) == {
        partition: Committed(2, notes[partition]) for partition in all_of_it
    }


def test_a_commit_that_is_not_answered_in_time_is_made_up_for_by_the_next(
    client: Client,
) -> None:
    with LocalKafka() as server:
        kafka = client.transport(server.bootstrap_servers)
        readings, alerts = kafka.make_topic(), kafka.make_topic()
        partition = Partition(readings, 0)
        consumer = kafka.committed_reader(readings, "group")
        poll_until_assigned(consumer)
        producer = kafka.transactional("worker")
        producer.send(numbered(alerts, 3))

        with hung(server):
            begin_s = time.monotonic()
            with pytest.raises(TransportError) as raised:
                producer.commit(consumer, {partition: 1}, 0.5)
            assert time.monotonic() - begin_s < 0.5 + SLACK_S
        assert raised.value.retriable
        producer.send(numbered(alerts, 1, first=3))
        producer.commit(consumer, {partition: 2}, DEADLINE_S)

        assert published(kafka, alerts) == [0, 1, 2, 3]
        assert consumer.committed([partition], DEADLINE_S)[partition].next_offset == 2
        kafka.close()
