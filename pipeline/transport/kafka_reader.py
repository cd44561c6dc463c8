"""Reads a topic as an onlooker: member of no group, nothing is committed."""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import kafka

from pipeline.errors import InputError, TransportError
from pipeline.records import Record
from pipeline.transport.client import (
    CHECK_INTERVAL_S,
    GRACE_S,
    METADATA_MAX_AGE_S,
    NO_OPTIONS,
    on_a_thread,
)
from pipeline.transport.kafka_client import connected, translated_errors
from pipeline.transport.kafka_records import PartitionRecords, UnreadableBatch

LOOK_FOR_PARTITIONS_EVERY_S = METADATA_MAX_AGE_S


class KafkaReader:
    """Reads what is committed of one topic, all its partitions, through kafka-python.

    Owns where it is in each. A context manager.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topic: str,
        since_s: float,
        connect_timeout_s: float = 30.0,
        client_options: Mapping[str, object] = NO_OPTIONS,
    ) -> None:
        """Connect, and find where to begin.

        Args:
            bootstrap_servers: `host:port`, several separated by commas.
            topic: what to read.
            since_s: begin at the first record of this time or later, seconds since 1970;
                0 is all there is.
            connect_timeout_s: for connecting, and again for each answer at the start.
            client_options: further options of `kafka.KafkaConsumer`; they win.

        Raises:
            InputError: there is no such topic, or an option is refused.
            TransportError: no server answered in time, or it refused.
        """
        self._name = f"topic {topic!r}, Kafka {bootstrap_servers}"
        self._topic = topic
        self._client = connected(
            kafka.KafkaConsumer,
            bootstrap_servers,
            client_options,
            group_id=None,
            client_id="pipeline-reader",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            bootstrap_timeout_ms=round(connect_timeout_s * 1000),
            metadata_max_age_ms=round(METADATA_MAX_AGE_S * 1000),
        )
        self._client._fetcher.PartitionRecords = PartitionRecords
        self._looked_at_s = time.monotonic()
        self._ends: dict[Any, int] = {}
        try:
            self._begin(since_s, connect_timeout_s)
        except BaseException:
            self.close(0.0)
            raise

    def __enter__(self) -> "KafkaReader":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close(1.0)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to so many records, in offset order per partition; none on time-out.

        Raises:
            TransportError: the broker refused, or what it holds cannot be read; retriable
                faults are retried within.
        """
        self._look_for_partitions()
        try:
            with translated_errors(self._name):
                polled = self._client.poll(
                    timeout_ms=timeout_s * 1000, max_records=max_records
                )
        except TransportError as error:
            if not error.retriable:
                raise
            time.sleep(CHECK_INTERVAL_S)
            return []
        except UnreadableBatch as error:
            raise TransportError(f"{self._name}: {error}", retriable=False) from error
        return list(chain.from_iterable(polled.values()))

    def has_caught_up(self) -> bool:
        """Whether all was read that was there at the start."""
        state = self._client._subscription.assignment
        return all(
            at.position is not None and at.position.offset >= self._ends.get(partition, 0)
            for partition, at in state.items()
        )

    def answers(self, timeout_s: float) -> bool:
        """Whether the broker does: a poll without records could also be its silence."""
        try:
            self._ask(self._client.end_offsets, list(self._client.assignment()), timeout_s)
        except TransportError:
            return False
        return True

    def close(self, timeout_s: float) -> None:
        """Disconnect within about `timeout_s`."""
        timeout_ms = timeout_s * 1000
        with suppress(TransportError), translated_errors(self._name):
            on_a_thread(
                lambda: self._client.close(autocommit=False, timeout_ms=timeout_ms),
                timeout_s + GRACE_S,
            )

    def _begin(self, since_s: float, timeout_s: float) -> None:
        partitions = self._partitions(timeout_s)
        if not partitions:
            raise InputError(
                f"{self._name}: there is no such topic, or no right to read it; see "
                "PIPELINE_KAFKA__ALERTS_TOPIC"
            )
        self._client.assign(partitions)
        times_ms = dict.fromkeys(partitions, round(since_s * 1000))
        self._ends = self._ask(self._client.end_offsets, partitions, timeout_s)
        found = self._ask(self._client.offsets_for_times, times_ms, timeout_s)
        for partition in partitions:
            first = found.get(partition)
            # Nothing that late is there: the next record is the first.
            offset = self._ends[partition] if first is None else first.offset
            self._client.seek(partition, offset)

    def _partitions(self, timeout_s: float) -> list[Any]:
        numbers = self._ask_plainly(
            partial(self._client.partitions_for_topic, self._topic), timeout_s
        )
        return [kafka.TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _look_for_partitions(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_at_s < LOOK_FOR_PARTITIONS_EVERY_S:
            return
        self._looked_at_s = now_s
        numbers = self._client._cluster.partitions_for_topic(self._topic) or set()
        assigned = self._client.assignment()
        known = {partition.partition for partition in assigned}
        if new := sorted(numbers - known):
            # Where it begins is the earliest that it holds: it was not there before.
            more = [kafka.TopicPartition(self._topic, number) for number in new]
            self._client.assign([*assigned, *more])

    def _ask(self, call: Any, about: Any, timeout_s: float) -> Any:
        return self._ask_plainly(
            partial(call, about, timeout_ms=timeout_s * 1000), timeout_s
        )

    def _ask_plainly(self, call: Any, timeout_s: float) -> Any:
        with translated_errors(self._name):
            try:
                return on_a_thread(call, timeout_s + GRACE_S)
            except TimeoutError as error:
                raise TransportError(
                    f"{self._name}: no answer within {timeout_s:g} s", retriable=True
                ) from error
