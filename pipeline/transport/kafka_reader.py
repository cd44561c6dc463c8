"""Follows a topic as an onlooker: member of no group, nothing is committed."""

import time
from collections.abc import Mapping

from pipeline.errors import TransportError
from pipeline.records import Partition, Record
from pipeline.transport.client import METADATA_MAX_AGE_S, NO_OPTIONS
from pipeline.transport.kafka_python_reader import KafkaPythonReader

LOOK_FOR_PARTITIONS_EVERY_S = METADATA_MAX_AGE_S


class KafkaReader:
    """Reads what is committed of one topic, all its partitions, through kafka-python.

    Owns up to where each was written at the start. A context manager.
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
        self._reader = KafkaPythonReader(
            bootstrap_servers=bootstrap_servers,
            topic=topic,
            connect_timeout_s=connect_timeout_s,
            client_options={
                "isolation_level": "read_committed",
                "metadata_max_age_ms": round(METADATA_MAX_AGE_S * 1000),
                **client_options,
            },
        )
        self._looked_at_s = time.monotonic()
        self._ends: Mapping[Partition, int] = {}
        try:
            self._ends = self._reader.ends(connect_timeout_s)
            since_ms = round(since_s * 1000)
            # Where nothing that late is there, the next record is the first.
            found = self._reader.offsets_at(since_ms, connect_timeout_s)
            self._reader.start({**self._ends, **found})
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
        now_s = time.monotonic()
        if now_s - self._looked_at_s >= LOOK_FOR_PARTITIONS_EVERY_S:
            self._looked_at_s = now_s
            self._reader.start_new_partitions()
        return list(self._reader.poll(max_records, timeout_s).records)

    def has_caught_up(self) -> bool:
        """Whether all was read that was there at the start."""
        positions = self._reader.positions()
        return all(positions.get(p, -1) >= end for p, end in self._ends.items())

    def answers(self, timeout_s: float) -> bool:
        """Whether the broker does: a poll without records could also be its silence."""
        try:
            self._reader.ends(timeout_s)
        except TransportError:
            return False
        return True

    def close(self, timeout_s: float) -> None:
        """Disconnect within about `timeout_s`."""
        self._reader.close(timeout_s)
