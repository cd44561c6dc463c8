"""Where the records come from that are compared on: a file, or a stretch of a topic."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.events import Span, labelled_events
from pipeline.offline import CHUNK_ROWS, check_sensors
from pipeline.reading import messages
from pipeline.records import Records, behind
from pipeline.table import Table, read_table
from pipeline.transport.memory_broker import MemoryRecord

NO_TIMESTAMP = -1


class Batch(NamedTuple):
    """Some records in a row."""

    records: Records
    is_warm_up: bool
    """They lie before what is compared, and only fill windows."""
    done: float
    """The share of all that is read once these are, 0 to 1."""


class Source(Protocol):
    """The same records each time."""

    name: str
    """For people."""
    notes: list[str]
    """What is to be said of how it was read, in words."""

    def batches(self) -> Iterator[Batch]:
        """All of it, from its begin; what is for warming up comes first."""


class FileSource:
    """The rows of a table as records, in their order."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            InputError: it cannot be read, or a column is not what it must be.
        """
        self._path = path
        self._table: Table = read_table(path)
        self.name = str(path)
        self.notes = list(self._table.notes)

    def check(self, loaded: LoadedDetector) -> None:
        """Raise InputError if the file lacks a sensor of this detector."""
        check_sensors(loaded, self._table, self._path)

    def labelled(self) -> list[Span] | None:
        """Its labelled events, unit by unit; None where it has no labels."""
        table = self._table
        if table.label_N is None:
            return None
        events: list[Span] = []
        # Of one unit together, and each unit's in the order of time.
        order_N = np.lexsort((table.time_s_N, table.unit_N))
        first_U = np.searchsorted(table.unit_N[order_N], np.arange(len(table.units) + 1))
        for number, unit in enumerate(table.units):
            at = order_N[first_U[number] : first_U[number + 1]]
            events += labelled_events(unit, table.time_s_N[at], table.label_N[at])
        return events

    def batches(self) -> Iterator[Batch]:
        for begin in range(0, len(self._table), CHUNK_ROWS):
            end = min(begin + CHUNK_ROWS, len(self._table))
            sent = messages(self._table, "readings", begin, end)
            records = [
                MemoryRecord("readings", 0, row, NO_TIMESTAMP, each.key, each.value, ())
                for row, each in enumerate(sent, start=begin)
            ]
            yield Batch(Records(records, behind(records)), False, end / len(self._table))
