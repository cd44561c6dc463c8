"""Record batches that librdkafka cannot read, and what an operator can do about one."""

import time
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from pipeline.errors import one_line
from pipeline.records import Partition

UNREADABLE = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED}
)

# For the search for the next batch.
SEARCH_S = 10.0
FETCH_S = 0.1


def describe_unreadable(client: Any, message: Any, end: int | None) -> tuple[str, int]:
    """Say of an error which batch cannot be read, and why; and what offset is behind it.

    After this the client stands anywhere in the partition: it is to read no more.

    Args:
        client: a consumer of the partition.
        message: what it has returned for the batch.
        end: of the partition, if that is known.
    """
    partition, offset = Partition(message.topic(), message.partition()), message.offset()
    next_offset = _offset_beyond(client, partition, offset, end or 0)
    return (
        f"{partition} offset {offset}: the record batch that ends before offset "
        f"{next_offset} cannot be read: {one_line(message.error().str())}",
        next_offset,
    )


def _offset_beyond(client: Any, partition: Partition, offset: int, end: int) -> int:
    """The first that is not of the batch at `offset`.

    librdkafka tells no batch's length. Whichever of its offsets is asked for, the batch
    comes whole; so it is searched for where that ends, in steps that double at first.
    """
    within, beyond = offset, max(offset + 1, end)
    step = 1
    deadline_s = time.monotonic() + SEARCH_S
    while beyond - within > 1:
        probe = min(within + step, (within + beyond) // 2)
        is_beyond = _is_beyond(client, partition, offset, probe, deadline_s)
        if is_beyond is None:
            # Too little is skipped, rather than what could be read.
            return within + 1
        if is_beyond:
            beyond = probe
        else:
            within, step = probe, 2 * step
    return beyond


def _is_beyond(
    client: Any, partition: Partition, offset: int, probe: int, deadline_s: float
) -> bool | None:
    """Whether `probe` is not of the batch at `offset`; None if there is no telling."""
    client.seek(TopicPartition(*partition, probe))
    while time.monotonic() < deadline_s:
        for message in client.consume(1, FETCH_S):
            if (message.topic(), message.partition()) == partition:
                error = message.error()
                is_readable = error is None or error.code() not in UNREADABLE
                return is_readable or message.offset() > offset
    return None
