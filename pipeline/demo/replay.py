"""Sends the demo's readings beside what is shown of them."""

import threading

from pipeline.errors import TransportError
from pipeline.paced import PacedSender
from pipeline.replay import rounds
from pipeline.table import Table
from pipeline.transport.base import Producer


class Replay:
    """Sends in a thread of its own, with the table's times. A context manager."""

    def __init__(
        self,
        producer: Producer,
        topic: str,
        table: Table,
        readings_per_s: float,
        for_ever: bool,
    ) -> None:
        self._rounds = rounds(table, for_ever)
        self._stop = threading.Event()
        self._sender = PacedSender(
            producer, topic, readings_per_s, keep_times=True, wait=self._stop.wait
        )
        self._failure: TransportError | None = None
        self._thread = threading.Thread(target=self._send_all, name="replay")

    @property
    def n_sent(self) -> int:
        """Readings acknowledged so far."""
        return self._sender.n_sent

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
        try:
            self._sender.send(self._rounds)
        except TransportError as error:
            self._failure = error
