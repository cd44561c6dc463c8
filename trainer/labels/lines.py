"""Records that labels are made of: from a file with one a line, or from a Kafka topic."""

import re
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.configure import read_settings
from pipeline.errors import InputError, TransportError
from pipeline.records import Partition
from pipeline.secured import secured
from pipeline.settings import ConnectionSettings
from pipeline.settings_kafka import KafkaSettings
from pipeline.transport.base import Consumer
from pipeline.transport.choose import clients

MAX_RECORD_BYTES = 2**20
"""A longer one is no alert and no verdict. It is skipped without being held."""
MAX_RECORDS = 500
POLL_TIMEOUT_S = 0.25
QUIET_POLLS = 8
"""Without a record, where all partitions are read to their ends."""
ANSWER_TIMEOUT_S = 30.0
SESSION_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 3.0
MAX_SHOWN = 200
TOPIC = re.compile(r"kafka://(?P<servers>[^/\s]+)/(?P<topic>[A-Za-z0-9._-]{1,249})")


class Listed(NamedTuple):
    """One record, and where it stands."""

    where: str
    value: bytes
    """Empty where it is too long to be one."""


@dataclass(slots=True)
class Malformed:
    """Lines that are no records of a kind."""

    kind: str
    n: int = 0
    first: str = ""

    def add(self, where: str, error: Exception) -> None:
        """Count one."""
        self.n += 1
        self.first = self.first or f"{where}: {error}"[:MAX_SHOWN]

    def notes(self) -> list[str]:
        """In words, if there are any."""
        note = f"{self.n:,} lines left out, no {self.kind} records: {self.first}"
        return [note] if self.n else []


def records(source: str, env_file: Path | None) -> Iterator[Listed]:
    """All records of a file, or of a topic from its begin to its end.

    Args:
        source: a path, or `kafka://HOST:PORT[,HOST:PORT]/TOPIC`, with the connection's
            other settings from the environment, as the worker has them.
        env_file: with further settings.

    Raises:
        InputError: the file cannot be read, or this is no topic's address.
        TransportError: Kafka refused, or did not answer in time.
    """
    if not source.startswith("kafka://"):
        yield from _of_file(Path(source))
        return
    address = TOPIC.fullmatch(source)
    if address is None:
        raise InputError(f"{source}: expected kafka://HOST:PORT/TOPIC")
    servers = {"kafka.bootstrap_servers": address["servers"]}
    kafka = read_settings(ConnectionSettings, servers, env_file).kafka
    yield from _of_topic(kafka, address["topic"])


def _of_file(path: Path) -> Iterator[Listed]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_RECORD_BYTES):
                number += 1
                is_too_long = len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n")
                rest = line if is_too_long else b""
                while rest and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_RECORD_BYTES)
                if line.strip():
                    yield Listed(f"{path}: line {number}", b"" if is_too_long else line)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _of_topic(kafka: KafkaSettings, topic: str) -> Iterator[Listed]:
    client = secured(clients(kafka.client), kafka, reads_committed=True)
    producer = client.producer(
        bootstrap_servers=kafka.bootstrap_servers,
        connect_timeout_s=kafka.connect_timeout_s,
        delivery_timeout_s=kafka.send_timeout_s,
    )
    try:
        missing = producer.check_topics([topic], kafka.connect_timeout_s)
    finally:
        producer.close(LEAVE_TIMEOUT_S)
    if missing:
        raise InputError(f"Kafka {kafka.bootstrap_servers} has no topic {topic!r}")
    consumer = client.consumer(
        bootstrap_servers=kafka.bootstrap_servers,
        # A group of its own: all is read, each time, and nothing is committed.
        group_id=f"{topic}.labels.{uuid.uuid4().hex}",
        topic=topic,
        listener=NoListener(),
        session_timeout_s=SESSION_TIMEOUT_S,
        max_poll_interval_s=kafka.max_poll_interval_s,
        connect_timeout_s=kafka.connect_timeout_s,
    )
    try:
        yield from to_the_end(consumer)
    finally:
        consumer.close(LEAVE_TIMEOUT_S)


class NoListener:
    """Wants to be told nothing."""

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        """See `RebalanceListener`."""

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        """See `RebalanceListener`."""

    def on_lost(self, partitions: Collection[Partition]) -> None:
        """See `RebalanceListener`."""


def to_the_end(consumer: Consumer) -> Iterator[Listed]:
    """All records of the consumer's topic, until it is quiet and nothing is left.

    Raises:
        TransportError: Kafka refused, or nothing was assigned in time.
    """
    n_quiet = 0
    began_s = time.monotonic()
    while n_quiet < QUIET_POLLS:
        polled = consumer.poll(MAX_RECORDS, POLL_TIMEOUT_S).records
        for record in polled:
            value = record.value or b""
            where = f"{record.topic}-{record.partition} at {record.offset}"
            yield Listed(where, value if len(value) <= MAX_RECORD_BYTES else b"")
        assigned = consumer.assignment()
        if not assigned and time.monotonic() - began_s > ANSWER_TIMEOUT_S:
            raise TransportError(
                f"no partition was assigned in {ANSWER_TIMEOUT_S:g} s", retriable=True
            )
        lag = consumer.lag()
        is_read = bool(assigned) and all(lag.get(p, 0) == 0 for p in assigned)
        n_quiet = n_quiet + 1 if is_read and not polled else 0
    # An answer at all: silence could also be that of a broker that is gone.
    consumer.committed(consumer.assignment(), ANSWER_TIMEOUT_S)
