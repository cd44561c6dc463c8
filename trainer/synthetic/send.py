"""Synthetic readings sent to Kafka, at a steady rate, with the times they are sent at."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.errors import InputError
from pipeline.offline import messages
from pipeline.secured import secured
from pipeline.settings_kafka import KafkaSettings
from pipeline.table import Table
from pipeline.transport.base import Producer
from pipeline.transport.choose import clients
from trainer.synthetic.rows import Rows

BATCH_S = 0.1
"""Readings that fall due within this time are sent together."""
MAX_BATCH = 10_000
LEAVE_TIMEOUT_S = 3.0


class Sender:
    """Sends rows in real time. Owns how many were sent, and since when."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        sensors: Sequence[str],
        rate: float,
        now_s: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Say how.

        Args:
            producer: sends.
            topic: where to.
            sensors: the columns' names.
            rate: readings a second, > 0.
            now_s: the clock, in seconds since 1970.
            sleep: waits so many seconds.
        """
        self._producer, self._topic = producer, topic
        self._sensors, self._rate = tuple(sensors), rate
        self._now_s, self._sleep = now_s, sleep
        self._began_s: float | None = None
        self.n_sent = 0
        """Readings acknowledged so far."""

    @property
    def took_s(self) -> float:
        """How long it has been sending."""
        return 0.0 if self._began_s is None else self._now_s() - self._began_s

    def send(self, rows: Iterator[Rows], on_sent: Callable[[int], None]) -> None:
        """Send rows, each with the time at which it is due.

        Where the broker or the drawing cannot keep up, what is late is sent at once, with
        the times of then.

        Args:
            rows: what to send.
            on_sent: told how many readings were sent so far.

        Raises:
            TransportError: the broker refused, or did not answer in time.
        """
        at_once = min(max(1, round(self._rate * BATCH_S)), MAX_BATCH)
        due_s = -np.inf
        for piece in rows:
            for begin in range(0, len(piece.unit_N), at_once):
                now_s = self._now_s()
                self._began_s = now_s if self._began_s is None else self._began_s
                due_s = max(due_s, now_s - BATCH_S) if self.n_sent else now_s
                part = slice(begin, begin + at_once)
                table = self._table(piece, part, due_s)
                self._producer.send(list(messages(table, self._topic, 0, len(table))))
                self.n_sent += len(table)
                on_sent(self.n_sent)
                due_s += len(table) / self._rate
                self._sleep(max(0.0, due_s - self._now_s()))

    def _table(self, piece: Rows, part: slice, due_s: float) -> Table:
        unit_N = piece.unit_N[part]
        time_s_N = due_s + np.arange(len(unit_N)) / self._rate
        values_NF = piece.values_NF[part]
        return Table(
            self._sensors, tuple(piece.units), time_s_N, unit_N, values_NF, label_N=None
        )


def send_to_kafka(
    rows: Iterator[Rows],
    kafka: KafkaSettings,
    sensors: Sequence[str],
    rate: float,
    on_sent: Callable[[int], None],
) -> str:
    """Send rows until there are no more, or Ctrl-C, and say what was sent.

    Args:
        rows: what to send.
        kafka: where to, and as whom.
        sensors: see `Sender`.
        rate: see `Sender`.
        on_sent: see `Sender.send`.

    Raises:
        InputError: there is no such topic.
        TransportError: see `Sender.send`.
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
        sender = Sender(producer, topic, sensors, rate)
        try:
            sender.send(rows, on_sent)
            stopped = ""
        except KeyboardInterrupt:
            stopped = "stopped: "
    finally:
        producer.close(LEAVE_TIMEOUT_S)
    per_s = sender.n_sent / max(sender.took_s, 1e-9)
    return (
        f"{stopped}{sender.n_sent:,} readings sent to {topic} in {sender.took_s:.1f} s, "
        f"{per_s:,.0f} a second"
    )
