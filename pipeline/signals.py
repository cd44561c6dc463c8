"""SIGTERM and SIGINT as a request to stop, within a bounded time."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import StopTimedOut

STOP_TIMEOUT_S = 5.0
"""From the request to the end of the batch in hand. Leaving takes up to 4 s more, and a
container's runtime grants 10 s in all."""
SAME_SIGNAL_S = 1.0
"""Whoever passes signals on (`uv run`, a service manager) sends a second one at once to a
process that had the first as one of its group. A person who is impatient takes longer."""


class StopSignals:
    """Turns the first SIGTERM or SIGINT into `requested`, while there is work to finish.

    Before that, while libraries load and connections open, a signal ends the process at
    once with exit code 0: nothing has been begun. After it, while the worker leaves, a
    signal changes nothing. A second signal in the midst of work does not wait, unless it
    comes within `SAME_SIGNAL_S`: then it is the first one. SIGUSR1 is `request`.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Begin to listen.

        Args:
            now_s: any clock's time that does not go back.
        """
        self._now_s = now_s
        self.requested = threading.Event()
        self._phase = "starting"
        self._timeout_s = math.inf
        self._signalled_s = math.inf
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_timeout)
        signal.signal(signal.SIGUSR1, lambda number, frame: self.request())

    @contextmanager
    def work_to_finish(self, timeout_s: float | None = None) -> Iterator[threading.Event]:
        """Within, the first signal sets `requested`, and starts the time to finish in.

        Args:
            timeout_s: that time, `STOP_TIMEOUT_S` unless told.

        Raises:
            StopTimedOut: in whatever is under way when that time is over.
        """
        self._timeout_s = STOP_TIMEOUT_S if timeout_s is None else timeout_s
        self._phase = "working"
        try:
            yield self.requested
        finally:
            self._phase = "leaving"
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def request(self) -> None:
        """Do as after a first signal. Only the first request counts, none as a signal."""
        is_first = not self.requested.is_set()
        # Also where it ends at once: what is being imported might take no notice.
        self.requested.set()
        if self._phase == "starting":
            # Which ends it. Another signal must not do so a second time.
            self._phase = "leaving"
            raise SystemExit(0)
        if self._phase == "working" and is_first:
            signal.setitimer(signal.ITIMER_REAL, self._timeout_s)

    def request_from_thread(self) -> None:
        """`request`, on the main thread, whatever that is doing."""
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def _on_signal(self, number: int, frame: object) -> None:
        if self._phase == "working":
            now_s = self._now_s()
            if now_s - self._signalled_s >= SAME_SIGNAL_S:
                raise SystemExit(128 + number)
            self._signalled_s = min(self._signalled_s, now_s)
        self.request()

    def _on_timeout(self, number: int, frame: object) -> None:
        raise StopTimedOut(
            f"the batch in hand was not finished within {self._timeout_s:g} s of the "
            "signal: does Kafka answer? What it held is not committed and will be repeated"
        )
