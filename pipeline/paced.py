"""Sends readings at a steady rate, as sensors would."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from pipeline.errors import InputError
from pipeline.reading import messages
from pipeline.secured import secured
from pipeline.settings_kafka import KafkaSettings
from pipeline.table import Table
from pipeline.transport.base import Producer
from pipeline.transport.choose import clients

BATCH_S = 0.1
"""Readings that fall due within this time are sent together."""
MAX_BATCH = 10_000
LEAVE_TIMEOUT_S = 3.0


class PacedSender:
    """Sends readings in real time. Owns how many were sent, and since when."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        rate: float,
        keep_times: bool = False,
        now_s: Callable[[], float] = time.time,
        wait: Callable[[float], bool | None] = time.sleep,
    ) -> None:
        """Say how.

        Args:
            producer: sends.
            topic: where to.
            rate: readings a second, > 0.
            keep_times: readings keep their times, as long as these are past; else each
                gets the time at which it is due.
            now_s: the clock, in seconds since 1970.
            wait: waits so many seconds; True if no more is to be sent.
        """
        self._producer, self._topic, self._rate = producer, topic, rate
        self._keep_times = keep_times
        self._now_s, self._wait = now_s, wait
        self._began_s: float | None = None
        self.n_sent = 0
        """Readings acknowledged so far."""

    @property
    def took_s(self) -> float:
        """How long it has been sending."""
        return 0.0 if self._began_s is None else self._now_s() - self._began_s

    def send(
        self, tables: Iterator[Table], on_sent: Callable[[int], None] = lambda n: None
    ) -> None:
        """Send tables, one after the other, until there are no more or `wait` says so.

        Where the broker or `tables` cannot keep up, what is late is sent at once, and due
        then.

        Args:
            tables: what to send.
            on_sent: told how many readings were sent so far.

        Raises:
            TransportError: the broker refused, or did not answer in time.
        """
        at_once = min(max(1, round(self._rate * BATCH_S)), MAX_BATCH)
        due_s = -np.inf
        for table in tables:
            for begin in range(0, len(table), at_once):
                now_s = self._now_s()
                self._began_s = now_s if self._began_s is None else self._began_s
                due_s = max(due_s, now_s - BATCH_S) if self.n_sent else now_s
                part = self._part(table, slice(begin, begin + at_once), due_s)
                self._producer.send(list(messages(part, self._topic, 0, len(part))))
                self.n_sent += len(part)
                on_sent(self.n_sent)
                due_s += len(part) / self._rate
                # Never for longer than it should: the clock may have been set back.
                early_s = min(due_s - self._now_s(), len(part) / self._rate)
                if self._wait(max(0.0, early_s)):
                    return

    def _part(self, table: Table, rows: slice, due_s: float) -> Table:
        unit_N = table.unit_N[rows]
        time_s_N = due_s + np.arange(len(unit_N)) / self._rate
        if self._keep_times:
            # Both grow, so their minimum does. Without it, what is sent for ever would run
            # ahead of the clock, and the worker refuses readings of a far future.
            time_s_N = np.minimum(table.time_s_N[rows], time_s_N)
        values_NF = table.values_NF[rows]
        return replace(
            table, time_s_N=time_s_N, unit_N=unit_N, values_NF=values_NF, label_N=None
        )

    def summary(self, is_stopped: bool) -> str:
        """What was sent, for a person."""
        per_s = self.n_sent / max(self.took_s, 1e-9)
        return (
            f"{'stopped: ' if is_stopped else ''}{self.n_sent:,} readings sent to "
            f"{self._topic} in {self.took_s:.1f} s, {per_s:,.0f} a second"
        )


@contextmanager
def paced_to_kafka(
    kafka: KafkaSettings,
    rate: float,
    keep_times: bool = False,
    wait: Callable[[float], bool | None] = time.sleep,
) -> Iterator[PacedSender]:
    """A sender to the readings topic.

    Args:
        kafka: where to, and as whom.
        rate: see `PacedSender`.
        keep_times: see `PacedSender`.
        wait: see `PacedSender`.

    Raises:
        InputError: there is no such topic.
        TransportError: no broker answered within `kafka.connect_timeout_s`, or it refused.
    """
    topic = kafka.readings_topic
    producer = secured(clients(kafka.client), kafka).producer(
        bootstrap_servers=kafka.bootstrap_servers,
        connect_timeout_s=kafka.connect_timeout_s,
        delivery_timeout_s=kafka.send_timeout_s,
    )
    try:
        if producer.check_topics([topic], kafka.connect_timeout_s):
            raise InputError(
                f"Kafka {kafka.bootstrap_servers} has no topic {topic!r}, and creates none"
            )
        yield PacedSender(producer, topic, rate, keep_times, wait=wait)
    finally:
        producer.close(LEAVE_TIMEOUT_S)
