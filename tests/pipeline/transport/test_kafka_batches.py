"""Record batches are read as kafka-python reads them, only faster."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from pipeline.transport.kafka_records import PartitionRecords

TP = TopicPartition("readings", 3)
FIELDS = ("topic", "partition", "offset", "timestamp", "key", "value")

bytes_or_null = st.none() | st.binary(max_size=40) | st.integers(0, 20_000).map(bytes)
headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)))
records = st.tuples(
    st.integers(-(2**40), 2**40),
    bytes_or_null,
    bytes_or_null,
    st.just([]) | headers,
)


def batch_of(contents: list[Any], offset: int = 0, compression: int = 0) -> bytes:
    builder = MemoryRecordsBuilder(
        magic=2, compression_type=compression, batch_size=2**30, offset=offset
    )
    for timestamp_ms, key, value, of_record in contents:
        builder.append(1_700_000_000_000 + timestamp_ms, key, value, of_record)
    builder.close()
    return bytes(builder.buffer())


def taken(cls: Any, data: bytes, offset: int, n: int, **options: Any) -> list[Any]:
    """All records, `n` at a time, as tuples, and the offsets where it stood after each."""
    partition = cls(offset, TP, MemoryRecords(data), **options)
    parts = []
    while partition and (part := partition.take(n)):
        fields = [
            (*(getattr(record, name) for name in FIELDS), list(record.headers))
            for record in part
        ]
        parts.append((fields, partition.next_fetch_offset))
    return parts


@settings(max_examples=200)
@given(
    batches=st.lists(st.lists(records, min_size=1, max_size=8), min_size=1, max_size=3),
    compression=st.integers(0, 4),
    skipped=st.integers(0, 8),
    n=st.integers(1, 5),
)
def test_every_batch_is_read_as_kafka_python_reads_it(
    batches: list[list[Any]], compression: int, skipped: int, n: int
) -> None:
    data, offset = b"", 100
    for contents in batches:
        data += batch_of(contents, offset, compression)
        offset += len(contents)
    start = min(100 + skipped, offset - 1)

    found = taken(PartitionRecords, data, start, n)

    assert found == taken(Fetcher.PartitionRecords, data, start, n)


@pytest.mark.parametrize("compression", [0, 1])
def test_what_was_read_is_counted_so_that_partitions_take_turns(compression: int) -> None:
    data = batch_of([(0, None, b"value", [])] * 3, compression=compression)
    partition = PartitionRecords(0, TP, MemoryRecords(data))

    partition.take(3)

    assert partition.records_read == 3
    assert partition.bytes_read > 0


def test_after_a_batch_whose_last_records_are_gone_the_next_one_is_fetched() -> None:
    data = bytearray(batch_of([(0, None, b"kept", [])]))
    last_offset_delta = slice(23, 27)
    data[last_offset_delta] = (4).to_bytes(4, "big")
    partition = PartitionRecords(0, TP, MemoryRecords(data), check_crcs=False)

    assert [record.offset for record in partition.take(10)] == [0]
    assert partition.next_fetch_offset == 5


def test_a_time_that_the_broker_has_set_is_that_of_all_records() -> None:
    data = bytearray(batch_of([(0, None, b"a", []), (5, None, b"b", [])]))
    attributes, max_timestamp = slice(21, 23), slice(35, 43)
    data[attributes] = (8).to_bytes(2, "big")
    data[max_timestamp] = (77).to_bytes(8, "big")
    partition = PartitionRecords(0, TP, MemoryRecords(data), check_crcs=False)

    assert [record.timestamp for record in partition.take(2)] == [77, 77]


def transactional(values: list[bytes], offset: int, producer_id: int) -> bytes:
    builder = MemoryRecordsBuilder(
        magic=2,
        compression_type=0,
        batch_size=10_000,
        offset=offset,
        transactional=True,
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=0,
    )
    for value in values:
        builder.append(0, None, value)
    builder.close()
    return bytes(builder.buffer())


def test_records_of_aborted_transactions_are_kept_back_from_who_asks_for_it() -> None:
    class Aborted:
        producer_id, first_offset = 7, 2

    data = transactional([b"a", b"b"], 0, producer_id=6)
    data += transactional([b"c", b"d"], 2, producer_id=7)
    data += batch_of([(0, None, b"e", [])], offset=4)

    for cls in (PartitionRecords, Fetcher.PartitionRecords):
        committed = taken(
            cls,
            data,
            0,
            10,
            isolation_level=IsolationLevel.READ_COMMITTED,
            aborted_transactions=[Aborted],
        )
        assert [record[5] for record in committed[0][0]] == [b"a", b"b", b"e"]
        assert committed[-1][1] == 5
        everything = taken(cls, data, 0, 10)
        assert [r[5] for r in everything[0][0]] == [b"a", b"b", b"c", b"d", b"e"]
