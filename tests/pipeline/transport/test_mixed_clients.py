"""Workers of one group may run on either client, and publish to the same partitions."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from pipeline.records import Partition, Record
from pipeline.transport.base import Committed
from tests.pipeline.transport.clients import CLIENTS
from tests.support import (
    DEADLINE_S,
    KafkaTransport,
    RecordingListener,
    make_topic,
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


class Pair(NamedTuple):
    one: KafkaTransport
    other: KafkaTransport


@pytest.fixture(params=[("kafka_python", "confluent"), ("confluent", "kafka_python")])
def pair(request: pytest.FixtureRequest, kafka_bootstrap_servers: str) -> Iterator[Pair]:
    pair = Pair(
        *(CLIENTS[name].transport(kafka_bootstrap_servers) for name in request.param)
    )
    yield pair
    for transport in pair:
        transport.close()


@pytest.fixture
def topic(kafka_bootstrap_servers: str) -> str:
    return make_topic(kafka_bootstrap_servers, 4)


def test_members_of_both_clients_share_a_group_without_a_repeat_or_a_gap(
    pair: Pair, topic: str
) -> None:
    group_id, producer = unique_name("group"), pair.one.producer()
    next_offsets: dict[Partition, int] = {}
    here = RecordingListener(
        lambda revoked: first.commit({p: next_offsets[p] for p in revoked}, 30.0)
    )
    there = RecordingListener()
    first = pair.one.consumer(topic, group_id, here)
    poll_until_assigned(first, 4)
    producer.send(numbered(topic, 100, n_keys=100))
    records: list[Record] = []
    for polled in polls(first, 100):
        next_offsets.update(polled.next_offsets)
        records += polled.records

    second = pair.other.consumer(topic, group_id, there)
    records += poll_until_shared(first, second, 4)
    producer.send(numbered(topic, 100, n_keys=100, first=100))

    def all_have_come() -> bool:
        records.extend(poll_both(first, second))
        return len(records) >= 200

    wait_until(all_have_come, "all have come")

    assert values(records) == list(range(200))
    # Only what moves is named: the rebalance is cooperative between the two as well.
    assert here.revoked == [second.assignment()]
    assert frozenset().union(*there.assigned) == second.assignment()
    assert (here.lost, there.lost, there.revoked) == ([], [], [])


def test_a_note_is_read_as_it_was_written_whichever_client_wrote_it(
    pair: Pair, topic: str
) -> None:
    group_id = unique_name("group")
    wanted = {
        Partition(topic, 0): Committed(1, "a note"),
        Partition(topic, 1): Committed(2, ""),
    }
    first = pair.one.consumer(topic, group_id)
    poll_until_assigned(first, 4)
    first.commit(
        {partition: each.next_offset for partition, each in wanted.items()},
        DEADLINE_S,
        {partition: each.note for partition, each in wanted.items()},
    )
    first.close(5.0)

    second = pair.other.consumer(topic, group_id)

    assert second.committed(list(wanted), DEADLINE_S) == wanted


def test_a_member_takes_over_from_one_of_the_other_client_that_leaves(
    pair: Pair, topic: str
) -> None:
    group_id = unique_name("group")
    first = pair.one.consumer(topic, group_id)
    second = pair.other.consumer(topic, group_id)
    poll_until_shared(first, second, 4)

    first.close(5.0)
    poll_until_assigned(second, 4)
    back = pair.one.consumer(topic, group_id)
    poll_until_shared(back, second, 4)
    second.close(5.0)

    poll_until_assigned(back, 4)


def test_a_key_is_in_the_same_partition_whichever_client_published_it(
    pair: Pair, topic: str
) -> None:
    pair.one.producer().send(numbered(topic, 100, n_keys=50))
    pair.other.producer().send(numbered(topic, 100, n_keys=50))

    records = read(pair.one.consumer(topic, unique_name("group")), 200)

    partitions_by_key: dict[bytes | None, set[int]] = {}
    for record in records:
        partitions_by_key.setdefault(record.key, set()).add(record.partition)
    assert len(partitions_by_key) == 50
    assert {len(partitions) for partitions in partitions_by_key.values()} == {1}
