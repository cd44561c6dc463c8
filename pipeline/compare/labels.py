"""Labelled events from a file of their own: `unit`, `begin`, `end`."""

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.times import parse_iso_s

COLUMNS = ("unit", "begin", "end")
MAX_EVENTS = 100_000
MAX_BYTES = 64 * 2**20
MAX_LINE_CHARS = 100_000


def read_labels(path: Path) -> list[Span]:
    """The events of a CSV file, in its order. Both ends belong to an event.

    Raises:
        InputError: it cannot be read, is no plain file, larger than `MAX_BYTES`, has a
            line longer than `MAX_LINE_CHARS` or other columns, or a time is none.
    """
    try:
        # To open a pipe that nobody writes to would wait for ever.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(opened, newline="", encoding="utf-8-sig") as file:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                raise InputError(f"{path}: expected a file of at most {MAX_BYTES:,} bytes")
            lines = csv.DictReader(_lines(path, file))
            missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}: expected columns {', '.join(COLUMNS)}; {missing} are missing"
                )
            events: list[Span] = []
            for line in lines:
                where = f"{path}: line {lines.line_num}"
                if len(events) == MAX_EVENTS:
                    raise InputError(f"{where}: expected at most {MAX_EVENTS:,} events")
                events.append(_event(where, line))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return events


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    n_left = MAX_BYTES
    while line := file.readline(MAX_LINE_CHARS + 1):
        n_left -= len(line)
        # A file may grow while it is read.
        if len(line) > MAX_LINE_CHARS or n_left < 0:
            raise InputError(
                f"{path}: expected lines of at most {MAX_LINE_CHARS:,} characters, and "
                f"{MAX_BYTES:,} bytes of them"
            )
        yield line


def _event(where: str, line: dict[str, str | None]) -> Span:
    unit, begin, end = (line[name] or "" for name in COLUMNS)
    try:
        event = Span(unit, _time_s(begin), _time_s(end))
    except ValueError as error:
        raise InputError(
            f"{where}: expected times (ISO 8601, or seconds since 1970), got {begin!r} and "
            f"{end!r}"
        ) from error
    if not event.unit or not event.begin_s <= event.end_s:
        raise InputError(
            f"{where}: expected a unit, and an end that is not before the begin"
        )
    return event


def _time_s(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_iso_s(text)
