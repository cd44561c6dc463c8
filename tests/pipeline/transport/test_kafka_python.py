"""What is relied upon of kafka-python beyond what it promises."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.future import Future

from pipeline.transport.kafka_python import KafkaPythonProducer
from tests.support import (
    DEADLINE_S,
    KafkaTransport,
    RecordingListener,
    numbered,
    poll_until_assigned,
    read,
    unique_name,
    values,
    wait_until,
)

MakeTopic = Callable[[int], str]


@pytest.fixture
def kafka(kafka_bootstrap_servers: str) -> Iterator[KafkaTransport]:
    transport = KafkaTransport(kafka_bootstrap_servers)
    yield transport
    transport.close()


def test_the_private_members_of_kafka_python_that_are_relied_upon_mean_what_they_did(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    producer, consumer = kafka.producer(), kafka.consumer(topic, unique_name("group"))
    assert isinstance(producer, KafkaPythonProducer)
    coordinator = consumer._client._coordinator

    # The group: a join that outlives a poll, and one that is asked for again.
    assert coordinator._join_task is None
    assert coordinator.need_rejoin()
    poll_until_assigned(consumer)
    assert coordinator._join_task is None
    assert not coordinator.need_rejoin()
    coordinator.request_rejoin()
    assert coordinator.need_rejoin()
    poll_until_assigned(consumer)

    # What the broker was asked of stored offsets, and has not answered yet.
    assert coordinator._offset_fetch_futures == {}
    assert coordinator.fetch_committed_offsets([], 1.0) == {}

    # What has been read, and how much there is.
    producer.send(numbered(topic, 10))
    read(consumer, 10, max_records=4)
    ((partition, state),) = consumer._client._subscription.assignment.items()
    assert (*partition, state.position.offset, state.highwater) == (topic, 0, 10, 10)

    # Whatever is given is called on the event loop, which is another thread's.
    called_on = concurrent.futures.Future[str]()
    consumer._client._manager.call_soon(
        lambda: called_on.set_result(threading.current_thread().name)
    )
    assert called_on.result(DEADLINE_S).startswith("kafka-io-")

    # The class that reads a fetch is looked up on the fetcher.
    consumer._client._fetcher.PartitionRecords = None
    producer.send(numbered(topic, 1))
    with pytest.raises(TypeError, match="not callable"):
        read(consumer, 1)

    # Topics that exist, by an answer that was asked for; and an end without waiting.
    metadata, sender = producer._client._metadata, producer._client._sender
    assert metadata.partitions_for_topic(topic) == {0}
    assert metadata.partitions_for_topic("missing") is None
    assert metadata.unauthorized_topics == set()
    metadata.add_topic(topic)
    asked = metadata.request_update()
    sender.wakeup()
    wait_until(lambda: asked.is_done, "metadata has come")
    assert asked.succeeded()
    sender.force_close()
    sender.join(DEADLINE_S)
    assert not sender.is_alive()


def test_a_join_that_ends_between_two_polls_is_not_made_again(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    consumer = kafka.consumer(make_topic(1), unique_name("group"))
    poll_until_assigned(consumer)
    coordinator = consumer._client._coordinator
    coordinator.request_rejoin()

    def has_joined() -> bool:
        joining = coordinator._join_task
        return joining is not None and joining.is_done

    # Too short a poll for a join, which goes on by itself.
    coordinator.poll(timeout_ms=0.0)
    wait_until(has_joined, "it has joined")
    joined = coordinator._generation
    consumer.poll(10, 0.0)

    assert coordinator._generation == joined
    assert coordinator._join_task is None
    assert not coordinator.need_rejoin()


def test_what_was_asked_before_a_rebalance_says_nothing_of_offsets_after_it(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    kafka.producer().send(numbered(topic, 10))
    partition = TopicPartition(topic, 0)
    consumer = kafka.consumer(topic, unique_name("group"), RecordingListener())
    # As a poll leaves it behind that was too short for the answer.
    stale = Future().success({partition: OffsetAndMetadata(7, "", -1)})
    consumer._client._coordinator._offset_fetch_futures[frozenset([partition])] = stale

    assert values(read(consumer, 10)) == list(range(10))


def test_a_poll_sees_records_that_come_between_its_look_and_its_sleep(
    kafka: KafkaTransport, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = make_topic(1)
    kafka.producer().send(numbered(topic, 10))
    consumer = kafka.consumer(topic, unique_name("group"))
    read(consumer, 1, max_records=1)
    fetcher = consumer._client._fetcher
    look = fetcher.fetched_records

    def too_early(*args: object, **options: object) -> tuple[dict[object, object], bool]:
        monkeypatch.setattr(fetcher, "fetched_records", look)
        return {}, True

    monkeypatch.setattr(fetcher, "fetched_records", too_early)
    monkeypatch.setattr(fetcher, "_fetch_futures", [])

    assert len(consumer.poll(10, 0.0).records) == 9


def test_a_member_does_not_claim_what_it_has_lost(
    kafka: KafkaTransport, make_topic: MakeTopic
) -> None:
    """Whoever shares the partitions out would have it taken from its new owner at once."""
    topic, group_id = make_topic(2), unique_name("group")
    kafka.producer().send(numbered(topic, 20))
    listener = RecordingListener()
    hanging = kafka.consumer(topic, group_id, listener, max_poll_interval_s=1.0)
    coordinator = hanging._client._coordinator
    read(hanging, 20)
    ((_, before),) = coordinator.group_protocols()
    read(kafka.consumer(topic, group_id), 20)

    wait_until(lambda: not hanging.poll(1, 0.1).records and listener.lost, "it is told")
    ((_, after),) = coordinator.group_protocols()

    assert [each.partitions for each in before.owned_partitions] == [[0, 1]]
    assert after.owned_partitions == []
