"""SIGTERM and SIGINT as a request to stop, within a bounded time."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import StopTimedOut

STOP_TIMEOUT_S = 5.0
"""From the request to the end of the batch in hand. Leaving takes up to 4 s more, and a
container's runtime grants 10 s in all."""


class StopSignals:
    """Turns the first SIGTERM or SIGINT into `requested`, while there is work to finish.

    Before that, while libraries load and connections open, a signal ends the process at
    once with exit code 0: nothing has been begun. After it, while the worker leaves, a
    signal changes nothing. A second signal in the midst of work does not wait.
    """

    def __init__(self) -> None:
        self.requested = threading.Event()
        self._phase = "starting"
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_timeout)

    @contextmanager
    def work_to_finish(self) -> Iterator[threading.Event]:
        """Within, the first signal sets `requested`, and starts the time to finish in.

        Raises:
            StopTimedOut: in whatever is under way when that time is over.
        """
        self._phase = "working"
        try:
            yield self.requested
        finally:
            self._phase = "leaving"
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._phase == "starting":
            raise SystemExit(0)
        if self._phase == "leaving":
            return
        if self.requested.is_set():
            raise SystemExit(128 + number)
        self.requested.set()
        signal.setitimer(signal.ITIMER_REAL, STOP_TIMEOUT_S)

    def _on_timeout(self, number: int, frame: object) -> None:
        raise StopTimedOut(
            f"the batch in hand was not finished within {STOP_TIMEOUT_S:g} s of the "
            "signal: does Kafka answer? What it held is not committed and will be repeated"
        )
