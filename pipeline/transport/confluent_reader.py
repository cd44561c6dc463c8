"""Reading a stretch of a topic through confluent-kafka (librdkafka)."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Records
from pipeline.transport.client import GRACE_S, NO_OPTIONS, on_a_thread
from pipeline.transport.confluent_broken import UNREADABLE, describe_unreadable
from pipeline.transport.confluent_client import (
    FETCHING,
    RETRIABLE,
    connected,
    translated,
    translated_errors,
)
from pipeline.transport.confluent_records import as_records

NO_GROUP = "pipeline-reader"
"""librdkafka demands a name. A consumer that is assigned partitions by hand joins none."""


class ConfluentReader:
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
        self._positions: dict[Partition, int] = {}
        self._client = connected(
            confluent_kafka.Consumer,
            bootstrap_servers,
            client_options,
            connect_timeout_s,
            topic,
            group_id=NO_GROUP,
            client_id="pipeline",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            # No record says where a transaction has ended.
            enable_partition_eof=True,
            check_crcs=True,
            **FETCHING,
        )

    def begins(self, timeout_s: float) -> Mapping[Partition, int]:
        return {p: low for p, (low, _) in self._watermarks(timeout_s).items()}

    def ends(self, timeout_s: float) -> Mapping[Partition, int]:
        return {p: high for p, (_, high) in self._watermarks(timeout_s).items()}

    def offsets_at(self, time_ms: int, timeout_s: float) -> Mapping[Partition, int]:
        asked = [TopicPartition(*p, time_ms) for p in self._partitions(timeout_s)]
        found = self._ask(
            lambda: self._client.offsets_for_times(asked, timeout=timeout_s), timeout_s
        )
        return {
            Partition(each.topic, each.partition): each.offset
            for each in found
            if each.offset >= 0
        }

    def start(self, offsets: Mapping[Partition, int]) -> None:
        self._positions = dict(offsets)
        with translated_errors(self._name):
            self._client.assign([TopicPartition(*p, at) for p, at in offsets.items()])

    def poll(self, max_records: int, timeout_s: float) -> Records:
        with translated_errors(self._name):
            messages = self._client.consume(max_records, 0.0)
            if not messages:
                # For one alone: given more to fetch it waits for all of them.
                messages = self._client.consume(1, timeout_s)
        records = as_records([m for m in messages if self._is_record(m)])
        records.sort(key=lambda record: record.partition)
        next_offsets = {
            Partition(record.topic, record.partition): record.offset + 1
            for record in records
        }
        for partition, offset in next_offsets.items():
            at = self._positions.get(partition, 0)
            self._positions[partition] = max(at, offset)
        return Records(records, next_offsets)

    def positions(self) -> Mapping[Partition, int]:
        return dict(self._positions)

    def close(self, timeout_s: float) -> None:
        with suppress(TransportError, TimeoutError), translated_errors(self._name):
            on_a_thread(self._client.close, timeout_s + GRACE_S)

    def _is_record(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            partition = Partition(message.topic(), message.partition())
            at = self._positions.get(partition, 0)
            self._positions[partition] = max(at, message.offset())
        elif error.code() in UNREADABLE:
            with translated_errors(self._name):
                detail, _ = describe_unreadable(self._client, message, None)
            raise TransportError(f"{self._name}: {detail}", retriable=False)
        elif error.code() not in RETRIABLE:
            raise translated(self._name, error)
        return False

    def _watermarks(self, timeout_s: float) -> dict[Partition, tuple[int, int]]:
        deadline_s = time.monotonic() + timeout_s
        found: dict[Partition, tuple[int, int]] = {}
        for partition in self._partitions(timeout_s):
            ask = partial(
                self._client.get_watermark_offsets,
                TopicPartition(*partition),
                timeout=timeout_s,
            )
            found[partition] = self._ask(ask, deadline_s - time.monotonic())
        return found

    def _partitions(self, timeout_s: float) -> list[Partition]:
        topics = self._ask(
            lambda: self._client.list_topics(self._topic, timeout=timeout_s), timeout_s
        )
        found = topics.topics[self._topic]
        if found.error is not None or not found.partitions:
            raise InputError(
                f"{self._name}: there is no such topic, or no right to read it"
            )
        return [Partition(self._topic, number) for number in sorted(found.partitions)]

    def _ask(self, call: Callable[[], Any], timeout_s: float) -> Any:
        with translated_errors(self._name):
            try:
                answer = on_a_thread(call, max(0.0, timeout_s) + GRACE_S)
            except TimeoutError:
                answer = None
        if answer is None:
            raise TransportError(
                f"{self._name}: no answer within {timeout_s:g} s", retriable=True
            )
        return answer
