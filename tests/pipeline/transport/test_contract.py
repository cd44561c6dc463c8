"""What the worker relies on, of every transport. Runs against memory and real Kafka."""

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Collection

import pytest

from pipeline.errors import MessageTooLarge, TransportError
from pipeline.records import Message, Partition, Record
from pipeline.transport.base import Consumer
from tests.support import (
    DEADLINE_S,
    POLL_TIMEOUT_S,
    RecordingListener,
    Transport,
    numbered,
    partitions,
    poll_both,
    poll_until_assigned,
    poll_until_shared,
    polls,
    read,
    unique_name,
    values,
    wait_until,
)


def _poll_until(consumer: Consumer, stop: threading.Event) -> None:
    while not stop.is_set():
        consumer.poll(500, POLL_TIMEOUT_S)


# Reading


def test_a_new_group_starts_at_the_earliest_offset(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 3))

    records = read(transport.consumer(topic, group_id), 3)

    assert [record.offset for record in records] == [0, 1, 2]


@pytest.mark.parametrize("max_records", [1, 7, 1000])
def test_every_record_is_returned_once_whatever_the_size_of_a_poll(
    transport: Transport, group_id: str, max_records: int
) -> None:
    topic = transport.make_topic(n_partitions=3)
    transport.producer().send(numbered(topic, 100))

    consumer = transport.consumer(topic, group_id)
    records = read(consumer, 100, max_records)

    assert values(records) == list(range(100))
    assert consumer.poll(max_records, 0.2).records == []


def test_a_poll_returns_at_most_max_records(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic(n_partitions=3)
    transport.producer().send(numbered(topic, 50))
    consumer = transport.consumer(topic, group_id)

    sizes = [len(polled.records) for polled in polls(consumer, 50, max_records=8)]

    assert max(sizes) <= 8


def test_records_are_grouped_by_partition_and_in_offset_order_within_each(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    transport.producer().send(numbered(topic, 200))
    consumer = transport.consumer(topic, group_id)

    offsets_by_partition: defaultdict[int, list[int]] = defaultdict(list)
    for polled in polls(consumer, 200, max_records=33):
        numbers = [record.partition for record in polled.records]
        stretches = [number for number, _ in itertools.groupby(numbers)]
        assert len(stretches) == len(set(stretches))
        for record in polled.records:
            offsets_by_partition[record.partition].append(record.offset)

    for offsets in offsets_by_partition.values():
        assert offsets == list(range(len(offsets)))


def test_next_offsets_are_those_after_the_last_records_returned(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=3)
    transport.producer().send(numbered(topic, 60))
    consumer = transport.consumer(topic, group_id)

    for polled in polls(consumer, 60, max_records=10):
        assert polled.next_offsets == {
            Partition(record.topic, record.partition): record.offset + 1
            for record in polled.records
        }


def test_a_poll_of_a_quiet_topic_returns_nothing(
    transport: Transport, group_id: str
) -> None:
    consumer = transport.consumer(transport.make_topic(), group_id)
    poll_until_assigned(consumer)

    polled = consumer.poll(10, 0.1)

    assert polled.records == []
    assert polled.next_offsets == {}


def test_a_waiting_poll_returns_what_arrives_meanwhile(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    consumer = transport.consumer(topic, group_id)
    producer = transport.producer()
    poll_until_assigned(consumer)

    sender = threading.Timer(0.2, producer.send, [numbered(topic, 1)])
    sender.start()
    # Far longer than the test may take: it has to be the record that ends the wait.
    records = consumer.poll(10, 600.0).records
    sender.join()

    assert values(records) == [0]


def test_lag_is_what_has_not_been_returned_yet(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 10))
    consumer = transport.consumer(topic, group_id)

    assert consumer.lag().get(Partition(topic, 0), 10) == 10
    n_read = len(read(consumer, 1, max_records=4))
    assert consumer.lag() == {Partition(topic, 0): 10 - n_read}
    read(consumer, 10 - n_read)
    assert consumer.lag() == {Partition(topic, 0): 0}


# Committing


def test_a_new_member_resumes_where_the_group_committed(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 10))
    first = transport.consumer(topic, group_id)
    read(first, 10)
    first.commit({Partition(topic, 0): 6}, DEADLINE_S)
    first.close(5.0)

    records = read(transport.consumer(topic, group_id), 4)

    assert values(records) == [6, 7, 8, 9]


def test_what_was_not_committed_is_delivered_again(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 10))
    first = transport.consumer(topic, group_id)
    read(first, 10)
    first.close(5.0)

    records = read(transport.consumer(topic, group_id), 10)

    assert values(records) == list(range(10))


def test_groups_do_not_share_offsets(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 3))
    first = transport.consumer(topic, group_id)
    read(first, 3)
    first.commit({Partition(topic, 0): 3}, DEADLINE_S)

    records = read(transport.consumer(topic, unique_name("other-group")), 3)

    assert values(records) == [0, 1, 2]


def test_a_commit_for_a_partition_of_another_member_is_refused(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    transport.producer().send(numbered(topic, 1))
    consumer = transport.consumer(topic, group_id)
    read(consumer, 1)

    with pytest.raises(TransportError, match=r"\[7\].*reassigned"):
        consumer.commit({Partition(topic, 7): 1}, DEADLINE_S)


# Publishing


def test_what_send_returned_from_is_readable(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic(n_partitions=2)
    producer = transport.producer()
    consumer = transport.consumer(topic, group_id)

    for n_sent in range(1, 4):
        producer.send(numbered(topic, 1, first=n_sent))
        assert values(read(consumer, 1)) == [n_sent]


def test_messages_of_one_key_stay_in_one_partition_and_in_order(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    first, second = transport.producer(), transport.producer()
    first.send(numbered(topic, 100, n_keys=10))
    second.send(numbered(topic, 100, n_keys=10, first=100))

    records = read(transport.consumer(topic, group_id), 200)

    for key in {record.key for record in records}:
        of_key = [record for record in records if record.key == key]
        assert len({record.partition for record in of_key}) == 1
        assert [int(record.value or b"") for record in of_key] == values(of_key)
    assert len({record.partition for record in records}) > 1


def test_bytes_headers_and_time_arrive_as_they_were_sent(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    sent = Message(
        topic=topic,
        value=bytes(range(256)),
        key=b"\xff\x00key",
        headers=(("reason", b"\x00\xfe"), ("reason", b"twice"), ("Ünit", b"")),
        timestamp_ms=1_795_331_212_345,
    )
    transport.producer().send([sent])

    (record,) = read(transport.consumer(topic, group_id), 1)

    assert record.topic == topic
    assert record.value == sent.value
    assert record.key == sent.key
    assert list(record.headers) == list(sent.headers)
    assert record.timestamp == sent.timestamp_ms


@pytest.mark.parametrize("key", [None, b"", b"key"])
@pytest.mark.parametrize("value", [None, b"", b"value"])
def test_null_and_empty_are_told_apart(
    transport: Transport, group_id: str, key: bytes | None, value: bytes | None
) -> None:
    topic = transport.make_topic()
    transport.producer().send([Message(topic=topic, value=value, key=key)])

    (record,) = read(transport.consumer(topic, group_id), 1)

    assert (record.key, record.value) == (key, value)
    assert list(record.headers) == []


def test_a_message_without_a_time_is_given_the_present(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    transport.producer().send([Message(topic, b"early", timestamp_ms=1)])
    transport.producer().send(numbered(topic, 1))

    early, now = read(transport.consumer(topic, group_id), 2)

    assert early.timestamp == 1
    assert now.timestamp > 1_700_000_000_000


def test_a_message_that_is_too_large_is_refused_and_the_producer_goes_on(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(max_message_bytes=10_000)
    producer = transport.producer()
    # Not a run of one byte: a transport may compress.
    too_large = random.Random(0).randbytes(20_000)

    with pytest.raises(MessageTooLarge, match=topic):
        producer.send([Message(topic, too_large)])
    producer.send(numbered(topic, 1))

    assert values(read(transport.consumer(topic, group_id), 1)) == [0]


def test_many_small_messages_together_are_not_too_large(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(max_message_bytes=10_000)

    transport.producer().send(numbered(topic, 5_000))

    records = read(transport.consumer(topic, group_id), 5_000)
    assert values(records) == list(range(5_000))


def test_sending_nothing_is_fine(transport: Transport) -> None:
    transport.producer().send([])


def test_a_topic_that_exists_or_that_the_broker_creates_is_not_missing(
    transport: Transport,
) -> None:
    topics = [transport.make_topic(), unique_name("created-on-first-use")]

    assert transport.producer().check_topics(topics, DEADLINE_S) == []


def test_a_closed_producer_sends_no_more(transport: Transport) -> None:
    producer = transport.producer()
    producer.close(5.0)
    producer.close(5.0)

    with pytest.raises(TransportError, match="closed"):
        producer.send(numbered("topic", 1))


# Keeping alive


def test_keeping_alive_neither_loses_nor_repeats_a_record(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=3)
    transport.producer().send(numbered(topic, 100))
    consumer = transport.consumer(topic, group_id)
    records = read(consumer, 10, max_records=5)

    while len(records) < 100:
        for _ in range(5):
            consumer.keep_alive()
        records += read(consumer, 1, max_records=7)

    assert values(records) == list(range(100))
    of_each: dict[int, list[int]] = defaultdict(list)
    for record in records:
        of_each[record.partition].append(record.offset)
    assert all(offsets == sorted(offsets) for offsets in of_each.values())


def test_a_member_that_only_keeps_alive_hands_partitions_over(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    listener = RecordingListener()
    busy = transport.consumer(topic, group_id, listener)
    poll_until_assigned(busy, 4)
    other = transport.consumer(topic, group_id)

    def is_shared() -> bool:
        busy.keep_alive()
        other.poll(10, POLL_TIMEOUT_S)
        return len(other.assignment()) == len(busy.assignment()) == 2

    wait_until(is_shared, "the partitions are shared")

    assert listener.revoked == [other.assignment()]


# Rebalances


def test_a_first_member_is_assigned_every_partition(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    listener = RecordingListener()
    consumer = transport.consumer(topic, group_id, listener)

    poll_until_assigned(consumer, 4)

    assert listener.assigned == [partitions(topic, 4)]
    assert consumer.assignment() == partitions(topic, 4)


def test_a_second_member_takes_over_some_partitions_and_only_those_are_named(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    here, there = RecordingListener(), RecordingListener()
    first = transport.consumer(topic, group_id, here)
    poll_until_assigned(first, 4)

    second = transport.consumer(topic, group_id, there)
    poll_until_shared(first, second, 4)

    moved = second.assignment()
    assert here.revoked == [moved]
    assert first.assignment() == partitions(topic, 4) - moved
    assert frozenset().union(*there.assigned) == moved
    assert (here.lost, there.lost, there.revoked) == ([], [], [])


def test_two_members_together_read_everything_once(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    producer = transport.producer()
    first = transport.consumer(topic, group_id)
    second = transport.consumer(topic, group_id)
    poll_until_shared(first, second, 4)

    producer.send(numbered(topic, 100))
    records: list[Record] = []

    def all_have_come() -> bool:
        records.extend(poll_both(first, second))
        return len(records) >= 100

    wait_until(all_have_come, "all have come")

    assert values(records) == list(range(100))


def test_a_commit_while_partitions_are_revoked_spares_the_next_owner_the_repeats(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=2)
    transport.producer().send(numbered(topic, 40))
    next_offsets: dict[Partition, int] = {}

    def commit(revoked: Collection[Partition]) -> None:
        first.commit({p: next_offsets[p] for p in revoked}, DEADLINE_S)

    first = transport.consumer(topic, group_id, RecordingListener(commit))
    for polled in polls(first, 40):
        next_offsets.update(polled.next_offsets)

    second = transport.consumer(topic, group_id)
    repeated = poll_until_shared(first, second, 2)
    repeated += second.poll(500, 0.2).records

    assert repeated == []


def test_poll_waits_for_a_slow_listener(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic(n_partitions=2)
    producer = transport.producer()
    events: list[str] = []

    def slowly(revoked: Collection[Partition]) -> None:
        events.append("begin")
        producer.send(numbered(topic, 20))
        time.sleep(1.0)
        events.append("end")

    first = transport.consumer(topic, group_id, RecordingListener(slowly))
    poll_until_assigned(first, 2)
    second = transport.consumer(topic, group_id)
    stop = threading.Event()
    joining = threading.Thread(target=_poll_until, args=(second, stop))
    joining.start()
    returned: list[Record] = []

    def is_told() -> bool:
        returned.extend(first.poll(500, POLL_TIMEOUT_S).records)
        # Never between the two: the worker would go on beside its own listener.
        assert events in ([], ["begin", "end"])
        return bool(events)

    try:
        wait_until(is_told, "the listener is told")
    finally:
        stop.set()
        joining.join()
    moved = partitions(topic, 2) - first.assignment()

    assert len(moved) == 1
    assert not moved & {Partition(r.topic, r.partition) for r in returned}


def test_an_exception_of_the_listener_comes_out_of_poll(
    transport: Transport, group_id: str
) -> None:
    class Failing(RecordingListener):
        def on_assigned(self, partitions: Collection[Partition]) -> None:
            raise ZeroDivisionError("replay failed")

    topic = transport.make_topic()
    consumer = transport.consumer(topic, group_id, Failing())

    with pytest.raises(ZeroDivisionError, match="replay failed"):
        poll_until_assigned(consumer)


def test_closing_leaves_the_partitions_to_the_other_member(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    listener = RecordingListener()
    first = transport.consumer(topic, group_id, listener)
    second = transport.consumer(topic, group_id)
    poll_until_shared(first, second, 4)
    n_told = len(listener.revoked)

    first.close(5.0)
    first.close(5.0)

    poll_until_assigned(second, 4)
    # The caller knows that it closes.
    assert len(listener.revoked) == n_told


def test_a_static_member_that_restarts_causes_no_rebalance(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=4)
    listener = RecordingListener()
    staying = transport.consumer(topic, group_id, listener, "worker-0")
    restarting = transport.consumer(topic, group_id, None, "worker-1")
    poll_until_shared(staying, restarting, 4)
    had = restarting.assignment()
    told_before = (list(listener.assigned), list(listener.revoked))

    restarting.close(5.0)
    restarted = transport.consumer(topic, group_id, None, "worker-1")
    poll_until_shared(staying, restarted, 4)

    assert restarted.assignment() == had
    assert (listener.assigned, listener.revoked) == told_before
    assert listener.lost == []
