"""What only the broker in memory can do: forget, and be without a topic."""

import threading

import pytest

from pipeline.errors import TransportError
from pipeline.records import Partition
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.support import numbered, values

TOPIC = "readings"
FIRST = Partition(TOPIC, 0)


def consumer_of(broker: MemoryBroker, group_id: str) -> MemoryConsumer:
    return MemoryConsumer(broker, group_id=group_id, topic=TOPIC)


def offsets(broker: MemoryBroker) -> list[int]:
    return [record.offset for record in broker.records(TOPIC)]


def test_truncate_drops_what_is_committed_and_nothing_else_notices() -> None:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 10))
    consumer = consumer_of(broker, "group")
    consumer.poll(6, 0.0)
    consumer.commit({FIRST: 4}, 1.0)

    broker.truncate(TOPIC)

    assert offsets(broker) == [4, 5, 6, 7, 8, 9]
    assert broker.committed("group") == {FIRST: 4}
    assert consumer.lag() == {FIRST: 4}
    broker.append(numbered(TOPIC, 2, first=10))
    polled = consumer.poll(500, 0.0)
    assert values(polled.records) == [6, 7, 8, 9, 10, 11]
    assert [record.offset for record in polled.records] == [6, 7, 8, 9, 10, 11]
    assert polled.next_offsets == {FIRST: 12}
    assert consumer.lag() == {FIRST: 0}


def test_a_topic_that_is_truncated_after_every_poll_does_not_grow() -> None:
    broker = MemoryBroker()
    consumer = consumer_of(broker, "group")

    for begin in range(0, 1_000, 100):
        broker.append(numbered(TOPIC, 100, first=begin))
        polled = consumer.poll(100, 0.0)
        assert values(polled.records) == list(range(begin, begin + 100))
        consumer.commit(polled.next_offsets, 1.0)
        broker.truncate(TOPIC)
        assert offsets(broker) == []

    assert broker.committed("group") == {FIRST: 1_000}


def test_truncate_keeps_what_the_slowest_group_has_not_committed() -> None:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 10))
    fast, slow = consumer_of(broker, "fast"), consumer_of(broker, "slow")
    for consumer, next_offset in ((fast, 8), (slow, 3)):
        consumer.poll(500, 0.0)
        consumer.commit({FIRST: next_offset}, 1.0)
    # Gone, but it has committed: it may come back.
    slow.close(0.0)

    broker.truncate(TOPIC)

    assert offsets(broker) == [3, 4, 5, 6, 7, 8, 9]
    assert values(consumer_of(broker, "slow").poll(500, 0.0).records) == list(range(3, 10))


def test_truncate_keeps_everything_for_a_group_that_has_not_committed() -> None:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 10))
    consumer_of(broker, "group").poll(500, 0.0)

    broker.truncate(TOPIC)

    assert offsets(broker) == list(range(10))


def test_truncate_empties_a_topic_that_nobody_reads() -> None:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 10))
    MemoryConsumer(broker, group_id="group", topic="other").poll(500, 0.0)

    broker.truncate(TOPIC)
    broker.append(numbered(TOPIC, 2, first=10))

    late = consumer_of(broker, "late")
    assert late.lag() == {}
    polled = late.poll(1, 0.0)
    assert [record.offset for record in polled.records] == [10]
    assert polled.next_offsets == {FIRST: 11}
    assert late.lag() == {FIRST: 1}


def test_a_topic_that_the_broker_does_not_create_is_missing_until_it_is_created() -> None:
    broker = MemoryBroker(creates_topics=False)
    producer, consumer = MemoryProducer(broker), consumer_of(broker, "group")

    assert producer.check_topics([TOPIC, "alerts"], 1.0) == [TOPIC, "alerts"]
    assert consumer.poll(10, 0.0).records == []
    with pytest.raises(TransportError, match=f"'{TOPIC}' does not exist"):
        producer.send(numbered(TOPIC, 1))

    broker.create_topic(TOPIC, 1)

    assert producer.check_topics([TOPIC, "alerts"], 1.0) == ["alerts"]
    producer.send(numbered(TOPIC, 1))
    assert values(consumer.poll(10, 0.0).records) == [0]


def test_a_commit_that_is_not_answered_in_time_may_be_tried_again() -> None:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 1))
    consumer = consumer_of(broker, "group")
    consumer.poll(1, 0.0)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with broker.changed:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with pytest.raises(TransportError, match=r"within 0\.05 s") as raised:
        consumer.commit({FIRST: 1}, 0.05)
    done.set()
    holder.join()

    assert raised.value.retriable
    consumer.commit({FIRST: 1}, 1.0)
    assert broker.committed("group") == {FIRST: 1}
