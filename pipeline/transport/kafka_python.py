"""Kafka through kafka-python. No package but this one imports `kafka`."""

from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaTimeoutError

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.base import RebalanceListener
from pipeline.transport.client import (
    GRACE_S,
    METADATA_MAX_AGE_S,
    NO_OPTIONS,
    on_a_thread,
)
from pipeline.transport.kafka_client import ListenerBridge, connected, translated_errors
from pipeline.transport.kafka_python_producer import KafkaPythonProducer
from pipeline.transport.kafka_records import PartitionRecords, UnreadableBatch

__all__ = ["KafkaPythonConsumer", "KafkaPythonProducer"]

# Shortest wait of a poll while the group is being joined: less might never join it.
MIN_JOIN_WAIT_S = 0.1


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
        self._client._fetcher.PartitionRecords = PartitionRecords
        _look_before_sleeping(self._client._fetcher)
        try:
            self._client.subscribe([topic], listener=self._bridge)
        except (TypeError, ValueError) as error:
            self.close(0.0)
            raise InputError(f"{self._name}: {error}") from error

    def poll(self, max_records: int, timeout_s: float) -> Records:
        if self._goes_on_joining():
            timeout_s = max(timeout_s, MIN_JOIN_WAIT_S)
        try:
            with translated_errors(self._name):
                records_by_partition = self._client.poll(
                    timeout_ms=timeout_s * 1000, max_records=max_records
                )
        except TransportError:
            # A listener's own exception is the worker's, not Kafka's.
            self._bridge.raise_failure()
            raise
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

    def _goes_on_joining(self) -> bool:
        """Whether the group has yet to be joined. Sees to it that it will be.

        kafka-python 3.0 forgets a join that outlives one poll, if it was new metadata
        (a topic or partitions created later) that asked for it: no record would ever
        come again. It also starts over with one that ends between two polls.
        """
        coordinator = self._client._coordinator
        if coordinator._join_task is not None:
            coordinator.request_rejoin()
        return bool(coordinator.need_rejoin())

    def keep_alive(self) -> None:
        timeout_s = MIN_JOIN_WAIT_S if self._goes_on_joining() else 0.0
        try:
            with translated_errors(self._name):
                self._client._coordinator.poll(timeout_ms=timeout_s * 1000)
        except TransportError:
            self._bridge.raise_failure()
            raise

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        # Kafka checks that the member is in the group, not that the partition is the
        # member's: without this, a late commit would rewind the new owner's.
        ours = self.assignment() | self._bridge.revoking
        if foreign := sorted(next_offsets.keys() - ours):
            raise TransportError(
                f"{self._name}: cannot commit {', '.join(map(str, foreign))}: "
                "reassigned to another member",
                retriable=False,
            )
        offsets = {
            kafka.TopicPartition(*partition): kafka.OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
        }
        timeout_s = max(0.0, timeout_s)
        with translated_errors(self._name):
            try:
                on_a_thread(
                    lambda: self._client.commit(offsets, timeout_ms=timeout_s * 1000),
                    timeout_s + GRACE_S,
                )
            except (KafkaTimeoutError, TimeoutError) as error:
                raise TransportError(
                    f"{self._name}: a commit was not answered within {timeout_s:g} s",
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


def _look_before_sleeping(fetcher: Any) -> None:
    """Spare polls 0.1 s of sleep beside records that have come.

    kafka-python 3.0 looks for records, forgets what fetches are done, and sleeps if none is
    left: one that was done in between has brought records. At 5,000 readings/s more than
    one alert in a hundred waited for that.
    """
    fetch_records = fetcher.fetch_records

    def fetch(max_records: int, *, update_offsets: bool, timeout_ms: float) -> Any:
        records, is_idle = fetch_records(
            max_records, update_offsets=update_offsets, timeout_ms=timeout_ms
        )
        if is_idle and not records:
            records, _ = fetcher.fetched_records(max_records, update_offsets=update_offsets)
        return records, is_idle and not records

    fetcher.fetch_records = fetch
