"""What is relied upon of kafka-python beyond what it promises."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

import pytest

from pipeline.transport.kafka_python import KafkaPythonProducer
from tests.support import (
    DEADLINE_S,
    KafkaTransport,
    numbered,
    poll_until_assigned,
    read,
    unique_name,
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
