"""What became of traces that do not arrive: told once a minute, not by each that fails."""

import logging
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

PERIOD_S = 60.0
MAX_REASON_CHARS = 300
LIBRARY = "opentelemetry.exporter"
"""Its loggers. While a collector is down they say so at each of many attempts."""


class TraceLosses:
    """Tells of batches whose spans are lost. Owns how many were not yet told of."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            now_s: any clock's time that does not go back.
        """
        self._now_s = now_s
        self._told_at_s = float("-inf")
        self._n_batches = 0
        self._reason = ""
        # Spans are made on one thread and exported on another.
        self._lock = threading.Lock()

    def add(self, n_batches: int, reason: str) -> None:
        """These are lost. It is told of now, or with those of a minute."""
        with self._lock:
            self._n_batches += n_batches
            self._reason = reason[:MAX_REASON_CHARS]
        self.tell_if_due()

    def tell_if_due(self) -> None:
        with self._lock:
            n_batches, now_s = self._n_batches, self._now_s()
            if not n_batches or now_s - self._told_at_s < PERIOD_S:
                return
            self._told_at_s, self._n_batches = now_s, 0
        log.warning("trace_failed", error=self._reason, n_batches=n_batches)


class LibraryLines(logging.Handler):
    """Takes the lines of the exporter's library, which are then logged only for whoever
    debugs. Owns the last of them: why an export failed is said nowhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        logger = logging.getLogger(LIBRARY)
        logger.handlers = [self]
        logger.propagate = logging.getLogger().level == logging.DEBUG

    def emit(self, record: logging.LogRecord) -> None:
        # The last line of several says only that it was tried for long enough.
        if not self.last or "due to timeout" not in record.msg:
            self.last = record.getMessage()
