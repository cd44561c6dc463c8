"""Lines that repeat are counted, not kept: a log must not grow with what is sent to us."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

MAX_LINES = 60
PERIOD_S = 60.0
MAX_KEYS = 1_000
"""Kinds of lines that are told apart, those seen last."""
NEVER_LEFT_OUT = frozenset({"process_failed"})
"""Events that end the process."""


N_MORE = "n_more"
"""Field of a line that stands for so many more of its kind. It is not logged."""
T = TypeVar("T")


def at_most(items: Sequence[T]) -> Iterator[tuple[T, dict[str, int]]]:
    """Those of many of which a line is worth trying, each with further fields for it.

    To make a line that is then left out takes as long as to score some readings.
    """
    n_more = len(items) - MAX_LINES
    for number, item in enumerate(items[:MAX_LINES]):
        yield item, {N_MORE: n_more} if number == MAX_LINES - 1 and n_more > 0 else {}


@dataclass(slots=True)
class _Repeated:
    began_s: float
    n_lines: int = 0
    n_suppressed: int = 0


class RepeatLimit:
    """Bounds each kind of line to so many in a period. Owns their counts."""

    def __init__(
        self,
        max_lines: int = MAX_LINES,
        period_s: float = PERIOD_S,
        max_keys: int = MAX_KEYS,
    ) -> None:
        """Start with nothing seen.

        Args:
            max_lines: of one kind, in a period.
            period_s: how long it lasts. It begins with a line.
            max_keys: kinds that are remembered.
        """
        self._max_lines = max_lines
        self._period_s = period_s
        self._max_keys = max_keys
        self._seen: OrderedDict[Hashable, _Repeated] = OrderedDict()
        # Lines come from several threads.
        self._lock = threading.Lock()

    def admit(self, key: Hashable, now_s: float, n_more: int = 0) -> int | None:
        """Whether a line of this kind is to be logged.

        Args:
            key: its kind.
            now_s: any clock's time that does not go back.
            n_more: lines of this kind that are left out with it, whatever comes of it.

        Returns:
            How many of its kind were left out since the last one; None: leave it out.
        """
        with self._lock:
            seen = self._seen.setdefault(key, _Repeated(now_s))
            self._seen.move_to_end(key)
            if len(self._seen) > self._max_keys:
                self._seen.popitem(last=False)
            if now_s - seen.began_s >= self._period_s:
                seen.began_s, seen.n_lines = now_s, 0
            if seen.n_lines >= self._max_lines:
                seen.n_suppressed += 1 + n_more
                return None
            seen.n_lines += 1
            n_suppressed, seen.n_suppressed = seen.n_suppressed, n_more
            return n_suppressed


def limiting_ours(
    limit: RepeatLimit, now_s: Callable[[], float] = time.monotonic
) -> structlog.typing.Processor:
    """Drops our own repeated lines: those of one event and level."""

    def drop_repeats(
        logger: object, method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event = str(line.get("event"))
        n_more = line.pop(N_MORE, 0)
        if event in NEVER_LEFT_OUT:
            return line
        n_suppressed = limit.admit((method, event), now_s(), n_more)
        if n_suppressed is None:
            raise structlog.DropEvent
        return {**line, "n_suppressed": n_suppressed} if n_suppressed else line

    return drop_repeats


def limiting_others(
    limit: RepeatLimit, now_s: Callable[[], float] = time.monotonic
) -> Callable[[logging.LogRecord], bool]:
    """Drops repeated lines of libraries: those that come from one place in their code.

    A filter of a handler. How many were left out stands in the record, as `n_suppressed`.
    """

    def is_wanted(record: logging.LogRecord) -> bool:
        # Those of structlog were counted before they became a record.
        if hasattr(record, "_logger"):
            return True
        place = (record.name, record.levelno, record.pathname, record.lineno)
        n_suppressed = limit.admit(place, now_s())
        record.n_suppressed = n_suppressed
        return n_suppressed is not None

    return is_wanted


def with_suppressed(
    logger: object, method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Adds to a library's line how many were left out before it."""
    n_suppressed = getattr(line.get("_record"), "n_suppressed", None)
    return {**line, "n_suppressed": n_suppressed} if n_suppressed else line
