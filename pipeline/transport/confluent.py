"""Kafka through confluent-kafka (librdkafka), the fast client; extra `fast`."""

import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.base import NO_NOTES, Committed, RebalanceListener
from pipeline.transport.client import GRACE_S, NO_OPTIONS, commit_parts, on_a_thread
from pipeline.transport.confluent_assignment import Assignment
from pipeline.transport.confluent_broken import UNREADABLE, describe_unreadable
from pipeline.transport.confluent_client import (
    FETCHING,
    RETRIABLE,
    connected,
    translated,
    translated_errors,
)
from pipeline.transport.confluent_offsets import commit, committed, with_notes
from pipeline.transport.confluent_producer import ConfluentProducer
from pipeline.transport.confluent_records import as_records
from pipeline.transport.transactions import not_a_member

__all__ = ["ConfluentConsumer", "ConfluentProducer"]

# While librdkafka waits Python handles no signal, so a longer wait is cut into such.
MAX_WAIT_S = 1.0
# What librdkafka takes for one call.
MAX_MESSAGES = 1_000_000
# While a consumer closes: so long without a word is taken for quiet, and so many of what
# was fetched ahead are thrown away at once.
LEAVE_WAIT_S = 0.02
MAX_MESSAGES_LEFT = 10_000
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
        self._is_static = group_instance_id is not None
        self._assigned = Assignment(listener, on_gone=self._drop_held)
        self._held: list[Any] = []
        self._unreadable: TransportError | None = None
        self._closed = False
        self._client = connected(
            confluent_kafka.Consumer,
            bootstrap_servers,
            client_options,
            connect_timeout_s,
            topic,
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
            # Not `enable.partition.eof`, to know a partition's end: up to 2.13 or later it
            # counts as a record, and one is skipped once partitions come or go.
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
        self._refuse_if_closed()
        n_most = min(max_records, MAX_MESSAGES)
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._unreadable is not None:
                raise self._unreadable
            self._hold(n_most, deadline_s)
            if self._assigned.has_changed:
                self._assigned.has_changed = False
                self._drop_held()
                self._assigned.raise_failure()
                return Records([], {})
            messages, self._held = self._held[:n_most], self._held[n_most:]
            records = self._records(messages)
            if records.records or time.monotonic() >= deadline_s:
                return records

    def keep_alive(self) -> None:
        self._refuse_if_closed()
        with translated_errors(self._name):
            # One at most: librdkafka fetches no more than it may hold.
            self._fetch(1, 0.0)
        self._drop_held()
        self._assigned.raise_failure()

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        self._refuse_foreign(next_offsets)
        deadline_s = time.monotonic() + timeout_s
        with translated_errors(self._name):
            for part in commit_parts(next_offsets, notes):
                remaining_s = max(0.0, deadline_s - time.monotonic())
                commit(self._client, self._name, part, remaining_s, notes)

    def in_transaction(
        self, next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
    ) -> tuple[list[Any], Any]:
        """What a producer needs to store these with its transaction: them, and who we are.

        Raises:
            TransportError: as `commit` does.
        """
        self._refuse_foreign(next_offsets)
        with translated_errors(self._name):
            member_id = self._client.memberid()
            member = self._client.consumer_group_metadata()
            # Of one that is nobody now the broker takes what it gets.
            if not member_id or member_id != self._client.memberid():
                raise not_a_member(self._name)
        parts = commit_parts(next_offsets, notes)
        return [with_notes(part, notes) for part in parts], member

    def _refuse_foreign(self, partitions: Collection[Partition]) -> None:
        self._refuse_if_closed()
        # Kafka checks that the member is in the group, not that the partition is the
        # member's: without this, a late commit would rewind the new owner's.
        ours = self._assigned.partitions | self._assigned.revoking
        if foreign := sorted(set(partitions) - ours):
            raise TransportError(
                f"{self._name}: cannot commit {', '.join(map(str, foreign))}: "
                "reassigned to another member",
                retriable=False,
            )

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> Mapping[Partition, Committed]:
        with translated_errors(self._name):
            return committed(self._client, partitions, max(0.0, timeout_s))

    def seek(self, partition: Partition, offset: int) -> None:
        self._held = [m for m in self._held if m.partition() != partition.number]
        with translated_errors(self._name):
            self._assigned.seek(self._client, partition, offset)

    def assignment(self) -> frozenset[Partition]:
        return self._assigned.partitions

    def lag(self) -> Mapping[Partition, int]:
        lags: dict[Partition, int] = {}
        if self._closed:
            return lags
        for partition, position in self._assigned.positions.items():
            if (end := self._end(partition)) is not None:
                lags[partition] = max(0, end - position)
        return lags

    def close(self, timeout_s: float) -> None:
        if self._closed:
            return
        self._closed = self._assigned.closing = True
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        # Best effort: if the group cannot be left, the session timeout does it.
        with suppress(TransportError, TimeoutError), translated_errors(self._name):
            self._give_up_partitions(deadline_s)
            remaining_s = max(0.0, deadline_s - time.monotonic())
            on_a_thread(self._client.close, remaining_s + GRACE_S)

    def _give_up_partitions(self, deadline_s: float) -> None:
        """Serve what a rebalance still has for us, so that `close` finds nothing.

        What confluent-kafka asks librdkafka for after a rebalance callback it asks with
        Python's lock held and no time-out, and from within `close` nobody may answer: that
        stops the process for good (librdkafka's issue 4041).
        """
        if self._is_static:
            # One that unsubscribes leaves the group, which it is not to.
            self._client.pause([TopicPartition(*each) for each in self.assignment()])
        else:
            self._client.unsubscribe()
        is_over = False
        while not is_over:
            n_told = self._assigned.n_told
            wait_s = min(LEAVE_WAIT_S, deadline_s - time.monotonic())
            messages = self._client.consume(MAX_MESSAGES_LEFT, max(0.0, wait_s))
            is_quiet = not messages and n_told == self._assigned.n_told
            has_none = self._is_static or not self.assignment()
            is_over = wait_s <= 0 or (is_quiet and has_none)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise TransportError(f"{self._name}: consumer is closed", retriable=False)

    def _hold(self, n_most: int, deadline_s: float) -> None:
        """Have up to `n_most` messages, errors among them; waits for the first, if need be.

        In vain if partitions come or go meanwhile.
        """
        if self._held:
            return
        with translated_errors(self._name):
            self._fetch(n_most, 0.0)
            wait_s = min(MAX_WAIT_S, deadline_s - time.monotonic())
            if self._held or self._assigned.has_changed or wait_s <= 0:
                return
            # For one alone: given more to fetch it waits for all of them, to the end.
            self._fetch(1, wait_s)
            if self._held and n_most > 1 and not self._assigned.has_changed:
                self._fetch(n_most - 1, 0.0)

    def _fetch(self, n_most: int, timeout_s: float) -> None:
        messages = self._client.consume(n_most, timeout_s)
        # Looked up only now: of partitions that went meanwhile nothing is held any more.
        self._held = self._held + messages

    def _drop_held(self) -> None:
        """At once, when partitions go: they may be back with the next call, elsewhere."""
        self._held = self._ours(self._held)

    def _ours(self, messages: list[Any]) -> list[Any]:
        """Less what is of partitions that are not ours any more."""
        numbers = {partition.number for partition in self._assigned.partitions}
        if set(map(confluent_kafka.Message.partition, messages)) <= numbers:
            return messages
        return [m for m in messages if m.partition() in numbers or _is_of_no_partition(m)]

    def _records(self, messages: list[Any]) -> Records:
        # librdkafka hands out some that it has yet to call lost.
        messages = self._ours(messages)
        if any(map(confluent_kafka.Message.error, messages)):
            messages = self._without_errors(messages)
        # It sorts a partition's fetches beside each other and keeps their order.
        messages.sort(key=confluent_kafka.Message.partition)
        records = as_records(messages)
        last = {record.partition: record for record in records}
        next_offsets = {
            Partition(self._topic, number): record.offset + 1
            for number, record in last.items()
        }
        self._assigned.positions.update(next_offsets)
        return Records(records=records, next_offsets=next_offsets)

    def _without_errors(self, messages: list[Any]) -> list[Any]:
        """The messages that hold a record.

        Raises:
            TransportError: of the first other error that does not pass by itself; the
                messages are kept for the next poll.
        """
        records: list[Any] = []
        for index, message in enumerate(messages):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() in UNREADABLE:
                self._unreadable = self._cannot_read(message)
                if not records:
                    raise self._unreadable
                return records
            elif error.code() not in RETRIABLE | {KafkaError._MAX_POLL_EXCEEDED}:
                self._held = records + messages[index + 1 :] + self._held
                raise translated(self._name, error)
        return records

    def _cannot_read(self, message: Any) -> TransportError:
        end = self._end(Partition(message.topic(), message.partition()))
        with translated_errors(self._name):
            detail, next_offset = describe_unreadable(self._client, message, end)
        return TransportError(
            f"{self._name}: {detail}. To skip it, stop the group's workers and run: "
            f"{self._skip_command} --topic {message.topic()}:{message.partition()} "
            f"--to-offset {next_offset}",
            retriable=False,
        )

    def _end(self, partition: Partition) -> int | None:
        """Offset of the next record to be written, as of the last fetch; asks nobody."""
        with translated_errors(self._name):
            watermarks = self._client.get_watermark_offsets(
                TopicPartition(*partition), cached=True
            )
        return None if watermarks is None or watermarks[1] < 0 else int(watermarks[1])


def _is_of_no_partition(message: Any) -> bool:
    """Whether this is an error of the group or the topic: librdkafka says partition 0 of
    such, or none, and no offset."""
    return message.error() is not None and message.offset() is None
