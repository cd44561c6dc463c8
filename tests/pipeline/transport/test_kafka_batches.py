"""Record batches are read as kafka-python reads them, only faster."""

from typing import Any

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
