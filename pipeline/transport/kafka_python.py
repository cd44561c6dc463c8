"""Kafka through kafka-python. No package but this one imports `kafka`."""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaTimeoutError

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.base import NO_NOTES, Committed, RebalanceListener
from pipeline.transport.client import (
    ASK_TIMEOUT_S,
    GRACE_S,
    METADATA_MAX_AGE_S,
    NO_OPTIONS,
    commit_parts,
    on_a_thread,
)
from pipeline.transport.kafka_client import ListenerBridge, connected, translated_errors
from pipeline.transport.kafka_mended import claim_nothing, goes_on_joining, mend
from pipeline.transport.kafka_python_producer import KafkaPythonProducer
from pipeline.transport.kafka_records import PartitionRecords, UnreadableBatch
from pipeline.transport.transactions import not_a_member

__all__ = ["KafkaPythonConsumer", "KafkaPythonProducer"]

# Shortest wait of a poll while the group is being joined: less might never join it.
MIN_JOIN_WAIT_S = 0.1

# Between a poll that failed and the next one.
RETRY_S = 0.1


class KafkaPythonConsumer:
    """One member of a consumer group, subscribed to one topic. See `base.Consumer`.

    A new group starts at the earliest offset. Partitions are assigned cooperatively:
    those that stay keep flowing through a rebalance.
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
            listener: told of rebalances while `poll` waits, on a thread of its own, so
                that it may commit. `close` tells it nothing.
            group_instance_id: makes this a static member: it may restart within
                `session_timeout_s` without a rebalance.
            request_timeout_s: longest wait for the answer to one request.
            client_options: further options of `kafka.KafkaConsumer` (security,
                sizes); they win over the ones set here.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._name = f"group {group_id!r} on topic {topic!r}, Kafka {bootstrap_servers}"
        self._skip_command = (
            f"kafka-consumer-groups --bootstrap-server {bootstrap_servers} "
            f"--group {group_id} --reset-offsets --execute"
        )
        self._bridge = ListenerBridge(listener)
        self._client = connected(
            kafka.KafkaConsumer,
            bootstrap_servers,
            client_options,
            group_id=group_id,
            group_instance_id=group_instance_id,
            client_id=client_id,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[CooperativeStickyAssignor],
            session_timeout_ms=round(session_timeout_s * 1000),
            heartbeat_interval_ms=round(min(3.0, session_timeout_s / 3) * 1000),
            max_poll_interval_ms=round(max_poll_interval_s * 1000),
            request_timeout_ms=round(request_timeout_s * 1000),
            bootstrap_timeout_ms=round(connect_timeout_s * 1000),
            metadata_max_age_ms=round(METADATA_MAX_AGE_S * 1000),
        )
        self._bridge.call_on_loop = self._client._manager.call_soon
        self._bridge.before_assigned = self._forget_earlier
        self._bridge.after_assigned = self._begin_within_logs
        self._bridge.after_lost = partial(claim_nothing, self._client)
        self._sought: dict[Any, int] = {}
        self._client._fetcher.PartitionRecords = PartitionRecords
        mend(self._client)
        try:
            self._client.subscribe([topic], listener=self._bridge)
        except (TypeError, ValueError) as error:
            self.close(0.0)
            raise InputError(f"{self._name}: {error}") from error

    def poll(self, max_records: int, timeout_s: float) -> Records:
        if goes_on_joining(self._client):
            timeout_s = max(timeout_s, MIN_JOIN_WAIT_S)
        try:
            with translated_errors(self._name):
                records_by_partition = self._client.poll(
                    timeout_ms=timeout_s * 1000, max_records=max_records
                )
        except TransportError as error:
            self._wait_out(error)
            return Records([], {})
        except UnreadableBatch as error:
            topic, number = error.partition
            raise TransportError(
                f"{self._name}: {error}. To skip it, stop the group's workers and run: "
                f"{self._skip_command} --topic {topic}:{number} "
                f"--to-offset {error.next_offset}",
                retriable=False,
            ) from error
        return Records(
            records=list(chain.from_iterable(records_by_partition.values())),
            next_offsets={
                Partition(*topic_partition): records[-1].offset + 1
                for topic_partition, records in records_by_partition.items()
            },
        )

    def keep_alive(self) -> None:
        timeout_s = MIN_JOIN_WAIT_S if goes_on_joining(self._client) else 0.0
        try:
            with translated_errors(self._name):
                self._client._coordinator.poll(timeout_ms=timeout_s * 1000)
        except TransportError as error:
            self._wait_out(error)

    def _wait_out(self, error: TransportError) -> None:
        """Return after a while if the next poll may succeed where this one did not."""
        # A listener's own exception is the worker's, not Kafka's.
        self._bridge.raise_failure()
        if not error.retriable:
            raise error
        time.sleep(RETRY_S)

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        deadline_s = time.monotonic() + timeout_s
        parts = self._offsets(next_offsets, notes)
        for offsets in parts:
            commit = partial(self._client.commit, offsets)
            self._ask("a commit", commit, deadline_s - time.monotonic())

    def in_transaction(
        self, next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
    ) -> tuple[list[Any], Any]:
        """What a producer needs to store these with its transaction: them, and who we are.

        Raises:
            TransportError: as `commit` does.
        """
        offsets = self._offsets(next_offsets, notes)
        member = self._client.group_metadata()
        # Of one that is nobody now the broker takes what it gets.
        if member.state is not MemberState.STABLE or member.generation_id < 0:
            raise not_a_member(self._name)
        return offsets, member

    def _offsets(
        self, next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
    ) -> list[Any]:
        # Kafka checks that the member is in the group, not that the partition is the
        # member's: without this, a late commit would rewind the new owner's.
        ours = self.assignment() | self._bridge.revoking
        if foreign := sorted(next_offsets.keys() - ours):
            raise TransportError(
                f"{self._name}: cannot commit {', '.join(map(str, foreign))}: "
                "reassigned to another member",
                retriable=False,
            )
        return [
            {
                kafka.TopicPartition(*p): kafka.OffsetAndMetadata(
                    offset, notes.get(p, ""), -1
                )
                for p, offset in part.items()
            }
            for part in commit_parts(next_offsets, notes)
        ]

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> Mapping[Partition, Committed]:
        asked = [kafka.TopicPartition(*partition) for partition in partitions]
        # The client's own `committed` asks for one partition.
        fetch = self._client._coordinator.fetch_committed_offsets
        stored = self._ask(
            "what is committed", lambda timeout_ms: fetch(asked, timeout_ms), timeout_s
        )
        return {
            # librdkafka sends the end of its strings, too.
            Partition(*topic_partition): Committed(
                each.offset, (each.metadata or "").rstrip("\0")
            )
            for topic_partition, each in stored.items()
        }

    def seek(self, partition: Partition, offset: int) -> None:
        topic_partition = kafka.TopicPartition(*partition)
        self._client.seek(topic_partition, offset)
        self._sought[topic_partition] = offset

    def _forget_earlier(self) -> None:
        # An answer that kafka-python did not wait for it gives to whoever asks next, even
        # if the partitions have been another member's since.
        self._client._coordinator._offset_fetch_futures.clear()
        self._sought.clear()

    def _begin_within_logs(self) -> None:
        """Begin at the start where what was sought is gone, whatever a new group does."""
        sought = self._sought
        if not sought:
            return
        # Without an answer, what the broker says to the first fetch has to do.
        with suppress(TransportError):
            begins = self._ask(
                "where logs begin",
                lambda timeout_ms: self._client.beginning_offsets(list(sought), timeout_ms),
                ASK_TIMEOUT_S,
            )
            for topic_partition, begin in begins.items():
                if begin > sought[topic_partition]:
                    self._client.seek(topic_partition, begin)

    def _ask(self, what: str, call: Callable[[float], Any], timeout_s: float) -> Any:
        """What `call`, given its time-out in ms, returns.

        Raises:
            TransportError: it raised; or, and that is retriable, it took longer.
        """
        timeout_s = max(0.0, timeout_s)
        with translated_errors(self._name):
            try:
                return on_a_thread(lambda: call(timeout_s * 1000), timeout_s + GRACE_S)
            except (KafkaTimeoutError, TimeoutError) as error:
                raise TransportError(
                    f"{self._name}: {what} was not answered within {timeout_s:.3g} s",
                    retriable=True,
                ) from error

    def assignment(self) -> frozenset[Partition]:
        return frozenset(Partition(*assigned) for assigned in self._client.assignment())

    def lag(self) -> Mapping[Partition, int]:
        # The client's own `position()` may ask the broker; its subscription does not.
        state = self._client._subscription.assignment
        return {
            Partition(*topic_partition): max(0, at.highwater - at.position.offset)
            for topic_partition, at in list(state.items())
            if at.highwater is not None and at.position is not None
        }

    def close(self, timeout_s: float) -> None:
        self._bridge.closing = True
        timeout_ms = max(0.0, timeout_s) * 1000
        # Best effort: if the group cannot be left, the session timeout does it.
        with suppress(TransportError), translated_errors(self._name):
            on_a_thread(
                lambda: self._client.close(autocommit=False, timeout_ms=timeout_ms),
                timeout_ms / 1000 + GRACE_S,
            )
