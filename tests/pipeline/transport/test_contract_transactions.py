"""What exactly-once rests on, of every transport."""

import random
from collections.abc import Collection
from dataclasses import dataclass

import pytest

from pipeline.errors import MessageTooLarge, TransportError
from pipeline.records import Message, Partition
from pipeline.transport.base import Committed, Consumer, TransactionalProducer
from tests.support import (
    DEADLINE_S,
    RecordingListener,
    Transport,
    numbered,
    poll_until_shared,
    read,
    unique_name,
    values,
)


@dataclass
class Pipeline:
    """Reads one topic and publishes to another, exactly once."""

    transport: Transport
    readings: str
    alerts: str
    group_id: str
    transactional_id: str
    consumer: Consumer
    producer: TransactionalProducer

    @property
    def partition(self) -> Partition:
        return Partition(self.readings, 0)

    def commit(self, next_offset: int, note: str = "") -> None:
        self.producer.commit(
            self.consumer,
            {self.partition: next_offset},
            DEADLINE_S,
            {self.partition: note},
        )

    def committed(self) -> Committed | None:
        return self.consumer.committed([self.partition], DEADLINE_S).get(self.partition)

    def alerted(self) -> list[int]:
        """All that is published, to the last: what is sent now comes behind it."""
        self.transport.producer().send([Message(self.alerts, b"1000000", b"last")])
        reader = self.transport.committed_reader(self.alerts, unique_name("reader"))
        alerted: list[int] = []
        while 1_000_000 not in alerted:
            alerted += values(read(reader, 1))
        reader.close(5.0)
        return sorted(alerted)[:-1]


@pytest.fixture
def pipeline(transport: Transport, group_id: str) -> Pipeline:
    readings, alerts = transport.make_topic(), transport.make_topic(max_message_bytes=None)
    transport.producer().send(numbered(readings, 10))
    consumer = transport.committed_reader(readings, group_id)
    read(consumer, 10)
    transactional_id = unique_name("worker")
    producer = transport.transactional(transactional_id)
    return Pipeline(
        transport, readings, alerts, group_id, transactional_id, consumer, producer
    )


def test_what_is_committed_appears_together_with_its_offsets_and_notes(
    pipeline: Pipeline,
) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))
    pipeline.producer.send(numbered(pipeline.alerts, 2, first=3))
    assert pipeline.committed() is None

    pipeline.commit(7, "a note")

    assert pipeline.alerted() == [0, 1, 2, 3, 4]
    assert pipeline.committed() == Committed(7, "a note")


def test_one_transaction_follows_another(pipeline: Pipeline) -> None:
    for n in range(3):
        pipeline.producer.send(numbered(pipeline.alerts, 1, first=n))
        pipeline.commit(n + 1)

    assert pipeline.alerted() == [0, 1, 2]
    assert pipeline.committed() == Committed(3, "")


def test_offsets_alone_are_a_transaction_too(pipeline: Pipeline) -> None:
    pipeline.commit(4, "quiet")

    assert pipeline.committed() == Committed(4, "quiet")


def test_what_is_withdrawn_never_appears(pipeline: Pipeline) -> None:
    gone, other = Partition("readings", 3), Partition("readings", 4)
    pipeline.producer.send(numbered(pipeline.alerts, 3, source=gone))

    pipeline.producer.withdraw([gone, other], DEADLINE_S)
    pipeline.producer.send(numbered(pipeline.alerts, 1, first=3, source=gone))
    pipeline.commit(7)

    assert pipeline.alerted() == [3]


def test_what_came_of_other_partitions_is_not_withdrawn(pipeline: Pipeline) -> None:
    gone, kept = Partition("readings", 3), Partition("readings", 4)
    mixed = [
        *numbered(pipeline.alerts, 2, source=gone),
        *numbered(pipeline.alerts, 2, first=2, source=kept),
    ]
    pipeline.producer.send(mixed)
    pipeline.producer.send(numbered(pipeline.alerts, 1, first=4, source=gone))

    pipeline.producer.withdraw([gone], DEADLINE_S)
    pipeline.producer.send(numbered(pipeline.alerts, 1, first=5, source=kept))
    pipeline.commit(7)

    assert pipeline.alerted() == [2, 3, 5]


def test_closing_aborts(pipeline: Pipeline) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))

    pipeline.producer.close(DEADLINE_S)

    assert pipeline.alerted() == []
    assert pipeline.committed() is None
    with pytest.raises(TransportError, match="closed"):
        pipeline.producer.send(numbered(pipeline.alerts, 1))


def test_of_a_producer_that_ends_in_a_transaction_nothing_appears_once_it_is_replaced(
    pipeline: Pipeline,
) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))

    successor = pipeline.transport.transactional(pipeline.transactional_id)

    assert pipeline.alerted() == []
    successor.send(numbered(pipeline.alerts, 1, first=3))
    successor.commit(pipeline.consumer, {pipeline.partition: 7}, DEADLINE_S)
    assert pipeline.alerted() == [3, 1_000_000]


def test_a_producer_that_has_been_replaced_can_do_nothing_more(pipeline: Pipeline) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))
    pipeline.transport.transactional(pipeline.transactional_id)

    with pytest.raises(TransportError, match="another producer has this") as raised:
        pipeline.commit(7)

    assert not raised.value.retriable
    assert pipeline.alerted() == []
    assert pipeline.committed() is None


def narrow(transport: Transport, group_id: str) -> Pipeline:
    """One whose alerts may not be large."""
    alerts = transport.make_topic(max_message_bytes=10_000)
    readings = transport.make_topic()
    transport.producer().send(numbered(readings, 10))
    consumer = transport.committed_reader(readings, group_id)
    read(consumer, 10)
    producer = transport.transactional(unique_name("worker"))
    return Pipeline(transport, readings, alerts, group_id, "", consumer, producer)


def test_a_send_that_fails_adds_nothing_and_what_was_added_before_stays(
    transport: Transport, group_id: str
) -> None:
    pipeline = narrow(transport, group_id)
    alerts, producer = pipeline.alerts, pipeline.producer
    too_large = Message(alerts, random.Random(0).randbytes(20_000))
    producer.send(numbered(alerts, 1))

    with pytest.raises(MessageTooLarge, match=alerts):
        producer.send([*numbered(alerts, 2, first=1), too_large])
    producer.send(numbered(alerts, 2, first=3))
    pipeline.commit(7)

    assert pipeline.alerted() == [0, 3, 4]


def test_many_small_messages_together_are_not_too_large_for_a_transaction(
    transport: Transport, group_id: str
) -> None:
    pipeline = narrow(transport, group_id)
    alerts, producer = pipeline.alerts, pipeline.producer

    producer.send(numbered(alerts, 5_000))
    pipeline.commit(7)

    assert pipeline.alerted() == list(range(5_000))


def test_a_note_that_is_too_long_is_refused_and_nothing_appears(pipeline: Pipeline) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))

    with pytest.raises(
        TransportError, match="PIPELINE_KAFKA__MAX_METADATA_BYTES"
    ) as raised:
        pipeline.commit(7, 5_000 * "x")

    assert not raised.value.retriable
    pipeline.producer.close(DEADLINE_S)
    assert pipeline.alerted() == []
    assert pipeline.committed() is None


def test_offsets_of_a_partition_of_another_member_are_refused(pipeline: Pipeline) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))

    with pytest.raises(TransportError, match=r"\[7\].*reassigned"):
        pipeline.producer.commit(
            pipeline.consumer, {Partition(pipeline.readings, 7): 1}, DEADLINE_S
        )

    # Nothing is decided yet.
    pipeline.commit(7)
    assert pipeline.alerted() == [0, 1, 2]


def test_a_member_that_has_left_cannot_commit(pipeline: Pipeline) -> None:
    pipeline.producer.send(numbered(pipeline.alerts, 3))
    pipeline.consumer.close(DEADLINE_S)

    with pytest.raises(TransportError):
        pipeline.commit(7)
    pipeline.producer.close(DEADLINE_S)

    assert pipeline.alerted() == []


def test_what_is_committed_while_partitions_go_spares_the_next_owner_the_repeats(
    transport: Transport, group_id: str
) -> None:
    readings, alerts = transport.make_topic(n_partitions=2), transport.make_topic()
    transport.producer().send(numbered(readings, 40))
    producer = transport.transactional(unique_name("worker"))
    next_offsets: dict[Partition, int] = {}

    def commit(revoked: Collection[Partition]) -> None:
        producer.commit(first, next_offsets, DEADLINE_S)

    first = transport.committed_reader(readings, group_id, RecordingListener(commit))
    for record in read(first, 40):
        next_offsets[Partition(readings, record.partition)] = record.offset + 1
    producer.send(numbered(alerts, 3))

    second = transport.committed_reader(readings, group_id)
    repeated = poll_until_shared(first, second, 2)
    repeated += second.poll(500, 0.2).records

    assert repeated == []
    assert values(read(transport.committed_reader(alerts, unique_name("r")), 3)) == [
        0,
        1,
        2,
    ]
