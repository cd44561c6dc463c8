"""What a group has stored, and where logs begin, through confluent-kafka."""

import time
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from pipeline.errors import TransportError
from pipeline.records import Partition
from pipeline.transport.base import Committed
from pipeline.transport.client import GRACE_S, on_a_thread
from pipeline.transport.confluent_client import NO_ANSWER, translated


def with_notes(
    next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
) -> list[TopicPartition]:
    """What to store, as librdkafka takes it."""
    # Of no text it would make one of one byte: it sends the end of a string, too.
    texts = {partition: [note] for partition, note in notes.items() if note}
    return [
        TopicPartition(*partition, offset, *texts.get(partition, []))
        for partition, offset in next_offsets.items()
    ]


def commit(
    client: Any,
    name: str,
    next_offsets: Mapping[Partition, int],
    timeout_s: float,
    notes: Mapping[Partition, str],
) -> None:
    """Store offsets of a group that `client` is a member of; `name` is for errors.

    Raises:
        KafkaException, TransportError: as `Consumer.commit` says.
    """
    if not next_offsets:
        return
    deadline_s = time.monotonic() + timeout_s
    offsets = with_notes(next_offsets, notes)
    # A commit that waits for its answer takes no time-out, and while it waits every other
    # call does, on whatever thread. Asking what is stored takes one, and the broker answers
    # that after the commit.
    client.commit(offsets=offsets, asynchronous=True)
    try:
        stored = committed(client, next_offsets, timeout_s)
        wanted = {
            p: Committed(offset, notes.get(p, "")) for p, offset in next_offsets.items()
        }
        if stored == wanted:
            return
        # The broker answers, and has refused: once more, for its reason.
        remaining_s = max(0.0, deadline_s - time.monotonic())
        answers = on_a_thread(
            lambda: client.commit(offsets=offsets, asynchronous=False),
            remaining_s + GRACE_S,
        )
    except KafkaException as error:
        if error.args[0].code() not in NO_ANSWER:
            raise
        raise _no_answer(name, timeout_s) from error
    except TimeoutError as error:
        raise _no_answer(name, timeout_s) from error
    for each in answers:
        if each.error is not None:
            raise translated(name, each.error)


def committed(
    client: Any, partitions: Collection[Partition], timeout_s: float
) -> dict[Partition, Committed]:
    """What the group of `client` has stored of those of `partitions` it has stored any of.

    Raises:
        KafkaException: the broker refused, or did not answer.
    """
    if not partitions:
        return {}
    asked = [TopicPartition(*partition) for partition in partitions]
    stored = client.committed(asked, timeout=timeout_s)
    for each in stored:
        if each.error is not None:
            raise KafkaException(each.error)
    return {
        Partition(each.topic, each.partition): Committed(each.offset, each.metadata or "")
        for each in stored
        if each.offset >= 0
    }


def log_begins(
    client: Any, partitions: Collection[Partition], timeout_s: float
) -> dict[Partition, int]:
    """Offset of the oldest record that is kept, where the broker says.

    Raises:
        KafkaException: the broker refused, or did not answer.
    """
    if not partitions:
        return {}
    asked = [TopicPartition(*partition, OFFSET_BEGINNING) for partition in partitions]
    return {
        Partition(each.topic, each.partition): each.offset
        for each in client.offsets_for_times(asked, timeout=timeout_s)
        if each.error is None and each.offset >= 0
    }


def _no_answer(name: str, timeout_s: float) -> TransportError:
    return TransportError(
        f"{name}: a commit was not answered within {timeout_s:.3g} s", retriable=True
    )
