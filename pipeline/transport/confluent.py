"""Kafka through confluent-kafka (librdkafka), the fast client; extra `fast`."""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.base import RebalanceListener
from pipeline.transport.confluent_assignment import Assignment
from pipeline.transport.confluent_client import (
    RETRIABLE,
    connected,
    one_line,
    translated,
    translated_errors,
)
from pipeline.transport.confluent_producer import ConfluentProducer
from pipeline.transport.confluent_records import as_records
from pipeline.transport.kafka_client import GRACE_S, NO_OPTIONS, on_a_thread

__all__ = ["ConfluentConsumer", "ConfluentProducer"]

# While librdkafka waits Python handles no signal, so a longer wait is cut into such.
MAX_WAIT_S = 1.0
# What librdkafka takes for one call.
MAX_MESSAGES = 1_000_000
# For the first record behind a batch that cannot be read.
LOOK_BEYOND_S = 1.0

UNREADABLE = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED}
)
FETCHING: Mapping[str, object] = {}
_TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")


class ConfluentConsumer:
    """One member of a consumer group, subscribed to one topic. See `base.Consumer`.

    Behaves as `KafkaPythonConsumer` does, and may share a group with it. A poll in which
    partitions come or go returns nothing; what it has read comes with the next.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        group_id: str,
        topic: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
        client_id: str = "pipeline",
        session_timeout_s: float = 45.0,
        max_poll_interval_s: float = 300.0,
        request_timeout_s: float = 30.0,
        connect_timeout_s: float = 30.0,
        client_options: Mapping[str, object] = NO_OPTIONS,
    ) -> None:
        """Connect and subscribe; the group is joined by the first polls.

        Args:
            bootstrap_servers: `host:port`, several separated by commas.
            listener: told of rebalances from within `poll`, on its thread. `close` tells
                it nothing.
            group_instance_id: makes this a static member: it may restart within
                `session_timeout_s` without a rebalance.
            session_timeout_s: librdkafka takes none above `max_poll_interval_s`, which
                then stands for it.
            request_timeout_s: longest wait for the answer to one request.
            client_options: further options, as librdkafka names them (security, sizes);
                they win over the ones set here.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._name = f"group {group_id!r} on topic {topic!r}, Kafka {bootstrap_servers}"
        # librdkafka takes a name that begins with ^ for a pattern, and any other as it is.
        if not _TOPIC.fullmatch(topic):
            raise InputError(f"{self._name}: Kafka has no topic of such a name")
        self._skip_command = (
            f"kafka-consumer-groups --bootstrap-server {bootstrap_servers} "
            f"--group {group_id} --reset-offsets --execute"
        )
        session_timeout_s = min(session_timeout_s, max_poll_interval_s)
        self._topic = topic
        self._assigned = Assignment(listener)
        self._held: list[Any] = []
        self._unreadable: TransportError | None = None
        self._positions: dict[Partition, int] = {}
        self._closed = False
        self._client = connected(
            confluent_kafka.Consumer,
            bootstrap_servers,
            client_options,
            connect_timeout_s,
            group_id=group_id,
            group_protocol="classic",
            group_instance_id=group_instance_id,
            client_id=client_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            partition_assignment_strategy="cooperative-sticky",
            session_timeout_ms=round(session_timeout_s * 1000),
            heartbeat_interval_ms=round(min(3.0, session_timeout_s / 3) * 1000),
            max_poll_interval_ms=round(max_poll_interval_s * 1000),
            socket_timeout_ms=round(request_timeout_s * 1000),
            # As kafka-python has them.
            isolation_level="read_uncommitted",
            check_crcs=True,
            allow_auto_create_topics=True,
            # Tells of the end of a partition nothing was read from: its lag is 0.
            enable_partition_eof=True,
            **FETCHING,
        )
        assigned = self._assigned
        with translated_errors(self._name):
            self._client.subscribe(
                [topic],
                on_assign=assigned.on_assign,
                on_revoke=assigned.on_revoke,
                on_lost=assigned.on_lost,
            )

    def poll(self, max_records: int, timeout_s: float) -> Records:
        if self._closed:
            raise TransportError(f"{self._name}: consumer is closed", retriable=False)
        n_most = min(max_records, MAX_MESSAGES)
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._unreadable is not None:
                raise self._unreadable
            messages = self._messages(n_most, deadline_s)
            if self._assigned.has_changed:
                self._assigned.has_changed = False
                self._keep(messages)
                self._assigned.raise_failure()
                return Records([], {})
            records = self._records(messages)
            if records.records or time.monotonic() >= deadline_s:
                return records

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        # Kafka checks that the member is in the group, not that the partition is the
        # member's: without this, a late commit would rewind the new owner's.
        ours = self._assigned.partitions | self._assigned.revoking
        if foreign := sorted(next_offsets.keys() - ours):
            raise TransportError(
                f"{self._name}: cannot commit {', '.join(map(str, foreign))}: "
                "reassigned to another member",
                retriable=False,
            )
        offsets = [TopicPartition(*p, offset) for p, offset in next_offsets.items()]
        if not offsets:
            return
        timeout_s = max(0.0, timeout_s)
        with translated_errors(self._name):
            try:
                committed = on_a_thread(
                    lambda: self._client.commit(offsets=offsets, asynchronous=False),
                    timeout_s,
                )
            except TimeoutError as error:
                raise TransportError(
                    f"{self._name}: a commit was not answered within {timeout_s:g} s",
                    retriable=True,
                ) from error
        for partition in committed:
            if partition.error is not None:
                raise translated(self._name, partition.error)

    def assignment(self) -> frozenset[Partition]:
        return self._assigned.partitions

    def lag(self) -> Mapping[Partition, int]:
        lags: dict[Partition, int] = {}
        for partition in self._assigned.partitions:
            position = self._positions.get(partition)
            if position is not None and (end := self._end(partition)) is not None:
                lags[partition] = max(0, end - position)
        return lags

    def close(self, timeout_s: float) -> None:
        if self._closed:
            return
        self._closed = self._assigned.closing = True
        # Best effort: if the group cannot be left, the session timeout does it.
        with suppress(TransportError, TimeoutError), translated_errors(self._name):
            on_a_thread(self._client.close, max(0.0, timeout_s) + GRACE_S)

    def _messages(self, n_most: int, deadline_s: float) -> list[Any]:
        """Up to `n_most` messages, errors among them; waits for the first, if it has to."""
        if self._held:
            messages, self._held = self._held[:n_most], self._held[n_most:]
            return messages
        with translated_errors(self._name):
            messages = self._client.consume(n_most, 0.0)
            wait_s = min(MAX_WAIT_S, deadline_s - time.monotonic())
            if messages or self._assigned.has_changed or wait_s <= 0:
                return messages
            # For one alone: given more to fetch it waits for all of them, to the end.
            messages = self._client.consume(1, wait_s)
            if messages and n_most > 1 and not self._assigned.has_changed:
                messages += self._client.consume(n_most - 1, 0.0)
        return messages

    def _keep(self, messages: list[Any]) -> None:
        """For the next poll, less what was read of partitions that are gone."""
        ours = self._assigned.partitions
        self._held = [
            m
            for m in messages + self._held
            if m.topic() != self._topic or Partition(m.topic(), m.partition()) in ours
        ]
        self._positions = {p: at for p, at in self._positions.items() if p in ours}

    def _records(self, messages: list[Any]) -> Records:
        ends: dict[Partition, int] = {}
        if any(map(confluent_kafka.Message.error, messages)):
            messages = self._without_errors(messages, ends)
        # It sorts a partition's fetches beside each other and keeps their order.
        messages.sort(key=confluent_kafka.Message.partition)
        records = as_records(messages)
        last = {record.partition: record for record in records}
        next_offsets = {
            Partition(self._topic, number): record.offset + 1
            for number, record in last.items()
        }
        self._positions.update(next_offsets)
        for partition, end in ends.items():
            self._positions[partition] = max(end, next_offsets.get(partition, 0))
        return Records(records=records, next_offsets=next_offsets)

    def _without_errors(
        self, messages: list[Any], ends: dict[Partition, int]
    ) -> list[Any]:
        """The messages that hold a record. Those of a partition's end go to `ends`.

        Raises:
            TransportError: of the first other error that does not pass by itself; the
                messages are kept for the next poll.
        """
        records: list[Any] = []
        for index, message in enumerate(messages):
            error = message.error()
            if error is None:
                records.append(message)
                continue
            partition = Partition(message.topic(), message.partition())
            if error.code() == KafkaError._PARTITION_EOF:
                ends[partition] = message.offset()
            elif error.code() in UNREADABLE:
                # librdkafka goes on behind the batch; nothing after it may be returned.
                rest = messages[index + 1 :] + self._held
                self._unreadable = self._cannot_read(partition, message, rest)
                if not records:
                    raise self._unreadable
                return records
            elif error.code() not in RETRIABLE | {KafkaError._MAX_POLL_EXCEEDED}:
                self._keep(records + messages[index + 1 :])
                raise translated(self._name, error)
        return records

    def _cannot_read(
        self, partition: Partition, message: Any, rest: list[Any]
    ) -> TransportError:
        offset = message.offset()
        next_offset = self._offset_beyond(partition, offset, rest)
        return TransportError(
            f"{self._name}: {partition} offset {offset}: the record batch that ends before "
            f"offset {next_offset} cannot be read: {one_line(message.error().str())}. "
            f"To skip it, stop the group's workers and run: {self._skip_command} --topic "
            f"{partition.topic}:{partition.number} --to-offset {next_offset}",
            retriable=False,
        )

    def _offset_beyond(self, partition: Partition, offset: int, rest: list[Any]) -> int:
        """Of the first record behind a batch that cannot be read: it says no length."""
        deadline_s = time.monotonic() + LOOK_BEYOND_S
        while True:
            for message in rest:
                at = (Partition(message.topic(), message.partition()), message.offset())
                if message.error() is None and at[0] == partition and at[1] > offset:
                    return int(at[1])
            if time.monotonic() >= deadline_s:
                # Nothing: then the batch is the last there is.
                return max(offset + 1, self._end(partition) or 0)
            with translated_errors(self._name):
                rest = self._client.consume(1000, GRACE_S)

    def _end(self, partition: Partition) -> int | None:
        """Offset of the next record to be written, as of the last fetch; asks nobody."""
        with translated_errors(self._name):
            watermarks = self._client.get_watermark_offsets(
                TopicPartition(*partition), cached=True
            )
        return None if watermarks is None or watermarks[1] < 0 else int(watermarks[1])
