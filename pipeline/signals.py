"""SIGTERM and SIGINT as a request to stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopSignals:
    """Turns the first SIGTERM or SIGINT into `requested`, once there is work to finish.

    Before that, while libraries load and connections open, a signal ends the process at
    once with exit code 0: nothing has been begun. A second signal does not wait.
    """

    def __init__(self) -> None:
        self.requested = threading.Event()
        self._has_work = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    @contextmanager
    def work_to_finish(self) -> Iterator[threading.Event]:
        """Within, the first signal only sets `requested`."""
        self._has_work = True
        try:
            yield self.requested
        finally:
            self._has_work = False

    def _on_signal(self, number: int, frame: object) -> None:
        if not self._has_work:
            raise SystemExit(0)
        if self.requested.is_set():
            raise SystemExit(128 + number)
        self.requested.set()
