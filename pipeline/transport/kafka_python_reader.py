"""Reading a stretch of a topic through kafka-python."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

import kafka
from kafka.errors import KafkaTimeoutError

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.client import CHECK_INTERVAL_S, GRACE_S, NO_OPTIONS, on_a_thread
from pipeline.transport.kafka_client import connected, translated_errors
from pipeline.transport.kafka_records import PartitionRecords, UnreadableBatch


class KafkaPythonReader:
    """See `reader.Reader`."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topic: str,
        connect_timeout_s: float = 30.0,
        client_options: Mapping[str, object] = NO_OPTIONS,
    ) -> None:
        """Connect.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._name = f"topic {topic!r}, Kafka {bootstrap_servers}"
        self._topic = topic
        self._client = connected(
            kafka.KafkaConsumer,
            bootstrap_servers,
            client_options,
            group_id=None,
            client_id="pipeline",
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            enable_auto_commit=False,
            bootstrap_timeout_ms=round(connect_timeout_s * 1000),
        )
        self._client._fetcher.PartitionRecords = PartitionRecords

    def begins(self, timeout_s: float) -> Mapping[Partition, int]:
        return self._offsets(self._client.beginning_offsets, timeout_s)

    def ends(self, timeout_s: float) -> Mapping[Partition, int]:
        return self._offsets(self._client.end_offsets, timeout_s)

    def offsets_at(self, time_ms: int, timeout_s: float) -> Mapping[Partition, int]:
        asked = dict.fromkeys(self._partitions(timeout_s), time_ms)
        found = self._ask(lambda: self._client.offsets_for_times(asked), timeout_s)
        return {
            Partition(*partition): at.offset
            for partition, at in found.items()
            if at is not None and at.offset >= 0
        }

    def start(self, offsets: Mapping[Partition, int]) -> None:
        self._client.assign([kafka.TopicPartition(*p) for p in offsets])
        for partition, offset in offsets.items():
            self._client.seek(kafka.TopicPartition(*partition), offset)

    def start_new_partitions(self) -> None:
        """Read from their begin those, too, that the topic has got since, if it is known
        by now. The others go on."""
        numbers = self._client._cluster.partitions_for_topic(self._topic) or set()
        assigned = self._client.assignment()
        known = {partition.partition for partition in assigned}
        if new := sorted(numbers - known):
            more = [kafka.TopicPartition(self._topic, number) for number in new]
            self._client.assign([*assigned, *more])

    def poll(self, max_records: int, timeout_s: float) -> Records:
        try:
            with translated_errors(self._name):
                by_partition = self._client.poll(
                    timeout_ms=timeout_s * 1000, max_records=max_records
                )
        except TransportError as error:
            if not error.retriable:
                raise
            time.sleep(CHECK_INTERVAL_S)
            return Records([], {})
        except UnreadableBatch as error:
            raise TransportError(f"{self._name}: {error}", retriable=False) from error
        return Records(
            records=list(chain.from_iterable(by_partition.values())),
            next_offsets={
                Partition(*partition): records[-1].offset + 1
                for partition, records in by_partition.items()
            },
        )

    def positions(self) -> Mapping[Partition, int]:
        # The client's own `position()` may ask the broker; its subscription does not.
        state = self._client._subscription.assignment
        return {
            Partition(*partition): at.position.offset
            for partition, at in list(state.items())
            if at.position is not None
        }

    def close(self, timeout_s: float) -> None:
        with suppress(TransportError), translated_errors(self._name):
            on_a_thread(
                lambda: self._client.close(autocommit=False, timeout_ms=timeout_s * 1000),
                timeout_s + GRACE_S,
            )

    def _offsets(
        self, of: Callable[[list[Any]], Mapping[Any, int]], timeout_s: float
    ) -> Mapping[Partition, int]:
        partitions = self._partitions(timeout_s)
        found = self._ask(lambda: of(partitions), timeout_s)
        return {Partition(*partition): offset for partition, offset in found.items()}

    def _partitions(self, timeout_s: float) -> list[Any]:
        found = self._ask(lambda: self._client.partitions_for_topic(self._topic), timeout_s)
        if not found:
            raise InputError(
                f"{self._name}: there is no such topic, or no right to read it"
            )
        return [kafka.TopicPartition(self._topic, number) for number in sorted(found)]

    def _ask(self, call: Callable[[], Any], timeout_s: float) -> Any:
        with translated_errors(self._name):
            try:
                return on_a_thread(call, timeout_s)
            except (KafkaTimeoutError, TimeoutError) as error:
                raise TransportError(
                    f"{self._name}: no answer within {timeout_s:g} s", retriable=True
                ) from error
