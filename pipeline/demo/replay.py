"""Sends a table to the readings topic at a steady rate, as sensors would."""

import threading
import time
from dataclasses import replace

from pipeline.errors import TransportError
from pipeline.offline import messages
from pipeline.table import Table
from pipeline.transport.base import Producer

BATCH_S = 0.1
"""Readings that fall due within this time are sent together."""


class Replay:
    """Sends in a thread of its own. Owns how many readings were sent.

    Once through, or for ever: each further round is later by the table's length, so that
    time goes on. A context manager.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        table: Table,
        readings_per_s: float,
        for_ever: bool,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._table = table
        self._readings_per_s = readings_per_s
        self._for_ever = for_ever
        self._stop = threading.Event()
        self._failure: TransportError | None = None
        self._thread = threading.Thread(target=self._send_all, name="replay")
        self.n_sent = 0
        """Readings acknowledged so far."""

    @property
    def is_done(self) -> bool:
        """Whether every reading was sent.

        Raises:
            TransportError: sending failed.
        """
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def __enter__(self) -> "Replay":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send_all(self) -> None:
        table = self._table
        step_s = (table.time_s_N[-1] - table.time_s_N[0]) / max(len(table) - 1, 1)
        round_s = table.time_s_N[-1] - table.time_s_N[0] + step_s
        try:
            self._send(table)
            while self._for_ever and not self._stop.is_set():
                table = replace(table, time_s_N=table.time_s_N + round_s)
                self._send(table)
        except TransportError as error:
            self._failure = error

    def _send(self, table: Table) -> None:
        batch = max(1, round(self._readings_per_s * BATCH_S))
        due_s = time.monotonic()
        for begin in range(0, len(table), batch):
            end = min(begin + batch, len(table))
            self._producer.send(list(messages(table, self._topic, begin, end)))
            self.n_sent += end - begin
            due_s += (end - begin) / self._readings_per_s
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
