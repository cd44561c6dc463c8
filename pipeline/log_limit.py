"""Lines that repeat are counted, not kept: a log must not grow with what is sent to us."""

import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import structlog

MAX_LINES = 60
MAX_UNIT_LINES = 10
"""Of these, those of one unit: a storm of one hides nothing of the others."""
PERIOD_S = 60.0
MAX_KEYS = 1_000
"""Kinds of lines, and their units, that are told apart, those seen last."""
NEVER_LEFT_OUT = frozenset({"lines_left_out", "process_failed", "worker_failed"})
"""Events that end the process, or tell of what is left out."""


N_MORE = "n_more"
"""Field of a line that stands for so many more of its kind. It is not logged."""
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
L = TypeVar("L", bound=Hashable)


class Kind(NamedTuple):
    """Of which lines it is counted how many there are: so few that all are remembered."""

    level: str
    of: str
    """The event; of a library's lines where in its code they come from."""
    reason: str | None = None
    """Of the event, one of few words."""


def at_most(
    items: Sequence[T],
    kind_of: Callable[[T], Hashable] = lambda item: None,
    unit_of: Callable[[T], Hashable] = lambda item: None,
) -> Iterator[tuple[T, dict[str, int]]]:
    """Those of many of which a line is worth trying, each with further fields for it.

    To make a line that is then left out takes as long as to score some readings.

    Args:
        items: in the order of their lines.
        kind_of: what their lines are counted by.
        unit_of: the first of each unit go before further ones; None is no unit.
    """
    firsts: dict[Hashable, list[int]] = {}
    further: dict[Hashable, list[int]] = {}
    n_of_unit: Counter[Hashable] = Counter()
    n_of_kind: Counter[Hashable] = Counter()
    for number, item in enumerate(items):
        kind, unit = kind_of(item), unit_of(item)
        n_of_kind[kind] += 1
        n_of_unit[kind, unit] += 1
        if unit is not None and n_of_unit[kind, unit] > MAX_UNIT_LINES:
            continue
        is_first = unit is not None and n_of_unit[kind, unit] == 1
        tried = (firsts if is_first else further).setdefault(kind, [])
        if len(tried) < MAX_LINES:
            tried.append(number)
    chosen: dict[int, dict[str, int]] = {}
    for kind, n in n_of_kind.items():
        tried = (firsts.get(kind, []) + further.get(kind, []))[:MAX_LINES]
        chosen |= {number: {} for number in tried}
        if n > len(tried):
            chosen[max(tried)] = {N_MORE: n - len(tried)}
    for number in sorted(chosen):
        yield items[number], chosen[number]


@dataclass(slots=True)
class _Repeated:
    began_s: float
    n_lines: int = 0
    n_suppressed: int = 0


class RepeatLimit(Generic[K]):
    """Bounds each kind of line to so many in a period. Owns their counts."""

    def __init__(
        self,
        max_lines: int = MAX_LINES,
        period_s: float = PERIOD_S,
        max_keys: int = MAX_KEYS,
        max_unit_lines: int = MAX_UNIT_LINES,
    ) -> None:
        """Start with nothing seen.

        Args:
            max_lines: of one kind, in a period.
            period_s: how long it lasts. It begins with a line.
            max_keys: kinds that are remembered, and units.
            max_unit_lines: of one kind and unit, in a period.
        """
        self._max_lines = max_lines
        self._period_s = period_s
        self._max_keys = max_keys
        self._max_unit_lines = max_unit_lines
        self._seen: OrderedDict[K, _Repeated] = OrderedDict()
        self._seen_of_units: OrderedDict[tuple[K, Hashable], _Repeated] = OrderedDict()
        self._due_s = math.inf
        """When the first period ends in which something was left out."""
        # Lines come from several threads.
        self._lock = threading.Lock()

    def admit(
        self, key: K, now_s: float, n_more: int = 0, unit: Hashable = None
    ) -> int | None:
        """Whether a line of this kind is to be logged.

        Args:
            key: its kind.
            now_s: any clock's time that does not go back.
            n_more: lines of this kind that are left out with it, whatever comes of it.
            unit: which of many it is about; None: of none.

        Returns:
            How many of its kind were left out since the last one; None: leave it out.
        """
        with self._lock:
            seen = self._counts(self._seen, key, now_s)
            is_wanted = seen.n_lines < self._max_lines
            if unit is not None:
                of_unit = self._counts(self._seen_of_units, (key, unit), now_s)
                is_wanted &= of_unit.n_lines < self._max_unit_lines
                of_unit.n_lines += is_wanted
            seen.n_lines += is_wanted
            n_suppressed = seen.n_suppressed
            seen.n_suppressed = n_more if is_wanted else n_suppressed + n_more + 1
            if seen.n_suppressed:
                self._due_s = min(self._due_s, seen.began_s + self._period_s)
            return n_suppressed if is_wanted else None

    def take_left_out(self, now_s: float = math.inf) -> list[tuple[K, int]]:
        """Kinds whose period is over, with how many were left out since the last line of
        each, if any were. They are then no longer told of.

        Args:
            now_s: as for `admit`; infinity: all kinds.
        """
        if now_s < self._due_s:
            return []
        left_out = []
        with self._lock:
            self._due_s = math.inf
            for key, seen in self._seen.items():
                due_s = seen.began_s + self._period_s
                if seen.n_suppressed and due_s <= now_s:
                    left_out.append((key, seen.n_suppressed))
                    seen.n_suppressed = 0
                elif seen.n_suppressed:
                    self._due_s = min(self._due_s, due_s)
        return left_out

    def _counts(
        self, all_seen: "OrderedDict[L, _Repeated]", key: L, now_s: float
    ) -> _Repeated:
        """What there was of it in this period, which may begin with it."""
        seen = all_seen.setdefault(key, _Repeated(now_s))
        all_seen.move_to_end(key)
        if len(all_seen) > self._max_keys:
            all_seen.popitem(last=False)
        if now_s - seen.began_s >= self._period_s:
            seen.began_s, seen.n_lines = now_s, 0
        return seen


def limiting_ours(
    limit: RepeatLimit[Kind], now_s: Callable[[], float] = time.monotonic
) -> structlog.typing.Processor:
    """Drops our own repeated lines: those of one event, level and reason."""

    def drop_repeats(
        logger: object, method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event = str(line.get("event"))
        n_more = line.pop(N_MORE, 0)
        if event in NEVER_LEFT_OUT:
            return line
        kind = Kind(method, event, line.get("reason"))
        n_suppressed = limit.admit(kind, now_s(), n_more, line.get("unit"))
        if n_suppressed is None:
            raise structlog.DropEvent
        return {**line, "n_suppressed": n_suppressed} if n_suppressed else line

    return drop_repeats


def limiting_others(
    limit: RepeatLimit[Kind], now_s: Callable[[], float] = time.monotonic
) -> Callable[[logging.LogRecord], bool]:
    """Drops repeated lines of libraries: those that come from one place in their code.

    A filter of a handler. How many were left out stands in the record, as `n_suppressed`.
    """

    def is_wanted(record: logging.LogRecord) -> bool:
        # Those of structlog were counted before they became a record.
        if hasattr(record, "_logger"):
            return True
        place = Kind(record.levelname, f"{record.name}:{record.lineno}")
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
