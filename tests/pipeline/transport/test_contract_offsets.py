"""What the worker relies on to go on where another left off, of every transport."""

from collections.abc import Collection, Mapping

import pytest

from pipeline.errors import TransportError
from pipeline.records import Message, Partition, Record
from pipeline.transport.base import Committed, Consumer
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
    read,
    unique_name,
    wait_until,
)

MAX_NOTE_BYTES = 4_096
"""Of a broker that is set up as Kafka comes. librdkafka takes one byte for itself."""


def seeking(
    transport: Transport, topic: str, group_id: str, offsets: Mapping[int, int]
) -> tuple[Consumer, RecordingListener]:
    """A member that begins at these offsets, by number, whenever it is assigned one."""

    def seek(assigned: Collection[Partition]) -> None:
        for partition in assigned:
            if partition.number in offsets:
                consumer.seek(partition, offsets[partition.number])

    listener = RecordingListener(when_assigned=seek)
    consumer = transport.consumer(topic, group_id, listener)
    return consumer, listener


def filled_topic(transport: Transport, n_partitions: int, n_each: int) -> str:
    """A topic with so many records in each partition."""
    topic = transport.make_topic(n_partitions)
    producer, reader = transport.producer(), transport.consumer(topic, unique_name("fill"))
    poll_until_assigned(reader, n_partitions)
    producer.send(numbered(topic, 40, n_keys=40))
    numbers = {record.key: record.partition for record in read(reader, 40)}
    key_of = {number: key for key, number in numbers.items()}
    n_more = {n: n_each - list(numbers.values()).count(n) for n in range(n_partitions)}
    producer.send(
        [
            Message(topic, b"0", key_of[number])
            for number, n in n_more.items()
            for _ in range(n)
        ]
    )
    reader.close(5.0)
    return topic


def offsets_of(records: list[Record]) -> dict[int, list[int]]:
    """What has come of each partition, in order."""
    of_each: dict[int, list[int]] = {}
    for record in records:
        of_each.setdefault(record.partition, []).append(record.offset)
    return of_each


# Notes


def test_a_note_comes_back_with_its_offset(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic()
    partition = Partition(topic, 0)
    first = transport.consumer(topic, group_id)
    poll_until_assigned(first)
    first.commit({partition: 7}, DEADLINE_S, {partition: "a note: `~{}|;<=>?@"})
    first.close(5.0)

    second = transport.consumer(topic, group_id)

    assert second.committed([partition], DEADLINE_S) == {
        partition: Committed(7, "a note: `~{}|;<=>?@")
    }


def test_a_commit_without_a_note_leaves_none(transport: Transport, group_id: str) -> None:
    topic = transport.make_topic()
    partition = Partition(topic, 0)
    consumer = transport.consumer(topic, group_id)
    poll_until_assigned(consumer)
    consumer.commit({partition: 7}, DEADLINE_S, {partition: "a note"})

    consumer.commit({partition: 7}, DEADLINE_S)

    assert consumer.committed([partition], DEADLINE_S) == {partition: Committed(7, "")}


def test_a_note_may_change_while_the_offset_stays(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    partition = Partition(topic, 0)
    consumer = transport.consumer(topic, group_id)
    poll_until_assigned(consumer)

    for note in ("one", "another"):
        consumer.commit({partition: 7}, DEADLINE_S, {partition: note})
        assert consumer.committed([partition], DEADLINE_S)[partition].note == note


def test_offsets_that_a_tool_has_set_have_no_note(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    partition = Partition(topic, 0)
    first = transport.consumer(topic, group_id)
    poll_until_assigned(first)
    first.commit({partition: 7}, DEADLINE_S, {partition: "a note"})
    first.close(5.0)

    transport.set_offsets(group_id, {partition: 3})

    second = transport.consumer(topic, group_id)
    assert second.committed([partition], DEADLINE_S) == {partition: Committed(3, "")}


def test_only_what_is_stored_of_the_partitions_asked_for_is_told(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic(n_partitions=3)
    one, other, never = sorted(partitions(topic, 3))
    consumer = transport.consumer(topic, group_id)
    poll_until_assigned(consumer, 3)
    consumer.commit({one: 1, other: 2}, DEADLINE_S)

    assert consumer.committed([other, never], DEADLINE_S) == {other: Committed(2, "")}
    assert consumer.committed([], DEADLINE_S) == {}


def test_a_note_that_is_too_long_is_refused_for_good_and_the_settings_are_named(
    transport: Transport, group_id: str
) -> None:
    topic = transport.make_topic()
    partition = Partition(topic, 0)
    consumer = transport.consumer(topic, group_id)
    poll_until_assigned(consumer)
    longest = "x" * (MAX_NOTE_BYTES - 1)
    consumer.commit({partition: 1}, DEADLINE_S, {partition: longest})

    with pytest.raises(
        TransportError,
        match=r"PIPELINE_KAFKA__MAX_METADATA_BYTES .* offset\.metadata\.max\.bytes",
    ) as raised:
        consumer.commit({partition: 2}, DEADLINE_S, {partition: longest + "xx"})

    assert not raised.value.retriable
    assert consumer.committed([partition], DEADLINE_S) == {partition: Committed(1, longest)}


def test_a_new_owner_may_ask_what_is_stored_while_it_is_told(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    stored: dict[Partition, Committed] = {}

    def commit(revoked: Collection[Partition]) -> None:
        notes = {partition: f"of {partition.number}" for partition in revoked}
        first.commit(dict.fromkeys(revoked, 5), DEADLINE_S, notes)

    def ask(assigned: Collection[Partition]) -> None:
        stored.update(second.committed(assigned, DEADLINE_S))

    first = transport.consumer(topic, group_id, RecordingListener(when_revoked=commit))
    read(first, 80)
    second = transport.consumer(topic, group_id, RecordingListener(when_assigned=ask))
    poll_until_shared(first, second, 2)

    (moved,) = second.assignment()
    assert stored == {moved: Committed(5, f"of {moved.number}")}


# Seeking


def test_reading_begins_where_a_listener_sought_and_elsewhere_where_was_committed(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=3, n_each=40)
    transport.set_offsets(group_id, dict.fromkeys(partitions(topic, 3), 30))
    consumer, _ = seeking(transport, topic, group_id, {0: 10, 2: 35})

    records = read(consumer, 30 + 10 + 5)

    assert offsets_of(records) == {
        0: list(range(10, 40)),
        1: list(range(30, 40)),
        2: list(range(35, 40)),
    }
    assert consumer.poll(500, 0.2).records == []


def test_a_partition_that_moves_begins_where_its_new_owner_sought(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    first, _ = seeking(transport, topic, group_id, {})
    by_first = read(first, 80, max_records=30)
    second, there = seeking(transport, topic, group_id, {0: 25, 1: 25})

    records = poll_until_shared(first, second, 2)
    records += read(second, 15 - len(records))
    transport.producer().send(numbered(topic, 100))

    def all_have_come() -> bool:
        records.extend(poll_both(first, second))
        return len(records) >= 15 + 100

    wait_until(all_have_come, "all have come")

    (moved,) = second.assignment()
    (stayed,) = first.assignment()
    of_each = offsets_of(records)
    assert there.assigned[-1] == {moved}
    assert offsets_of(by_first)[stayed.number] + of_each[stayed.number] == list(
        range(40 + len(of_each[stayed.number]))
    )
    assert of_each[moved.number] == list(range(25, 25 + len(of_each[moved.number])))


def test_what_was_sought_outlasts_a_rebalance_in_which_the_partition_stays(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    transport.set_offsets(group_id, dict.fromkeys(partitions(topic, 2), 40))
    first, _ = seeking(transport, topic, group_id, {0: 25, 1: 25})
    second, _ = seeking(transport, topic, group_id, {})

    def is_shared() -> bool:
        # No record is asked for before the partitions have moved.
        first.keep_alive()
        second.poll(500, POLL_TIMEOUT_S)
        return len(first.assignment()) == len(second.assignment()) == 1

    wait_until(is_shared, "the partitions are shared")
    (stayed,) = first.assignment()

    assert offsets_of(read(first, 15)) == {stayed.number: list(range(25, 40))}


def test_a_partition_that_comes_back_begins_where_is_sought_anew(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    offsets = {0: 10, 1: 10}
    first, here = seeking(transport, topic, group_id, offsets)
    read(first, 60)
    second, _ = seeking(transport, topic, group_id, {0: 40, 1: 40})
    poll_until_shared(first, second, 2)
    (back,) = second.assignment()

    offsets[back.number] = 33
    second.close(5.0)
    records = read(first, 7)

    assert here.assigned[-1] == {back}
    assert offsets_of(records) == {back.number: list(range(33, 40))}


def test_reading_begins_with_the_log_where_what_was_sought_is_gone(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    transport.set_offsets(group_id, dict.fromkeys(partitions(topic, 2), 40))
    transport.drop_before(Partition(topic, 0), 20)
    transport.drop_before(Partition(topic, 1), 40)
    consumer, _ = seeking(transport, topic, group_id, {0: 10, 1: 10})

    records = read(consumer, 20)

    def nothing_is_left() -> bool:
        assert consumer.poll(500, POLL_TIMEOUT_S).records == []
        return consumer.lag() == dict.fromkeys(partitions(topic, 2), 0)

    wait_until(nothing_is_left, "nothing is left")
    assert offsets_of(records) == {0: list(range(20, 40))}


def test_between_two_polls_a_partition_goes_back_and_others_go_on(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=2, n_each=40)
    consumer, _ = seeking(transport, topic, group_id, {})
    before = read(consumer, 1, max_records=5)

    # Whatever it has fetched of it by now.
    consumer.seek(Partition(topic, 0), 7)
    n_of_1 = sum(record.partition == 1 for record in before)
    records = read(consumer, 33 + 40 - n_of_1)

    assert offsets_of(records) == {
        0: list(range(7, 40)),
        1: list(range(n_of_1, 40)),
    }
    assert consumer.poll(500, 0.2).records == []


def test_a_partition_that_was_read_to_its_end_goes_back(
    transport: Transport, group_id: str
) -> None:
    topic = filled_topic(transport, n_partitions=1, n_each=40)
    transport.drop_before(Partition(topic, 0), 10)
    consumer, _ = seeking(transport, topic, group_id, {})
    read(consumer, 30)

    for _ in range(2):
        consumer.seek(Partition(topic, 0), 5)

        assert offsets_of(read(consumer, 30)) == {0: list(range(10, 40))}
    assert consumer.lag() == {Partition(topic, 0): 0}


def test_lag_counts_from_where_was_sought(transport: Transport, group_id: str) -> None:
    topic = filled_topic(transport, n_partitions=1, n_each=40)
    partition = Partition(topic, 0)
    transport.set_offsets(group_id, {partition: 40})
    consumer, _ = seeking(transport, topic, group_id, {0: 15})

    n_read = len(read(consumer, 1, max_records=5))

    assert consumer.lag() == {partition: 25 - n_read}
    read(consumer, 25 - n_read)
    assert consumer.lag() == {partition: 0}
