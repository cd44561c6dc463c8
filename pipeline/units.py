"""Which row of the state arrays belongs to which unit."""

from array import array
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np

from pipeline.records import (
    IntArray,
    Partition,
    Readings,
    Records,
    Reject,
    group_starts,
    of_other_records,
)

TOO_MANY_UNITS = "too_many_units"


class Units:
    """Gives each unit of each partition a row, up to `max_units` of them.

    Owns the mapping. Windows and incidents keep arrays indexed by these rows. A unit is
    known per partition, so that losing a partition forgets exactly its units.
    """

    def __init__(self, max_units: int) -> None:
        self.max_units = max_units
        self._row_of: dict[Partition, dict[str, int]] = {}
        self._free_rows: list[int] = []
        self._names: list[str] = []
        self._number_of: dict[Partition, int] = {}
        self._partition_of_row = array("i")

    @property
    def n_rows(self) -> int:
        """Rows ever given out: what an array indexed by row must hold."""
        return len(self._names)

    @property
    def names(self) -> Sequence[str]:
        """The unit in each row; of a free row, the last one."""
        return self._names

    def __len__(self) -> int:
        return len(self._names) - len(self._free_rows)

    def partitions(self) -> tuple[Sequence[Partition], IntArray]:
        """All partitions there ever were, and the index among them of each row's; of a free
        row, the last one."""
        return list(self._number_of), np.array(self._partition_of_row, dtype=np.int64)

    def rows_of(self, partition: Partition) -> IntArray:
        """The rows of this partition's units."""
        return np.array([*self._row_of.get(partition, {}).values()], dtype=np.int64)

    def row(self, partition: Partition, unit: str) -> int:
        """The row of this unit, given out now if need be, however many there are."""
        rows = self._row_of.setdefault(partition, {})
        if unit not in rows:
            rows[unit] = self._new_row(partition, unit)
        return rows[unit]

    def admit(
        self, readings: Readings, records: Records
    ) -> tuple[Readings, IntArray, list[Reject]]:
        """Return the readings whose units have a row, those rows (N,), and the refused.

        A unit that is one too many is refused with its whole record, and would be again:
        memory stays bounded whatever names arrive.
        """
        tables = [self._row_of.setdefault(p, {}) for p in readings.partitions]
        rows = [
            tables[number].get(unit, -1)
            for number, unit in zip(
                readings.partition_N.tolist(), readings.units, strict=True
            )
        ]
        row_N = np.array(rows, dtype=np.int64)
        refused: set[int] = set()
        unknown_N = np.flatnonzero(row_N < 0)
        for record, first in _runs(readings.record_N[unknown_N]):
            # Of one record together: one that is refused must not use up rows.
            names = [
                (int(readings.partition_N[i]), readings.units[i]) for i in unknown_N[first]
            ]
            # A dict, not a set: rows are given out in the same order in every process.
            new = dict.fromkeys(name for name in names if name[1] not in tables[name[0]])
            if len(new) > self.max_units - len(self):
                refused.add(record)
                continue
            for number, unit in new:
                tables[number][unit] = self._new_row(readings.partitions[number], unit)
            row_N[unknown_N[first]] = [tables[number][unit] for number, unit in names]
        if not refused:
            return readings, row_N, []
        kept = of_other_records(readings, refused)
        rejects = [
            Reject(
                records.records[index],
                TOO_MANY_UNITS,
                f"{self.max_units} units are known already; raise max_units",
            )
            for index in sorted(refused)
        ]
        return readings.take(kept), row_N[kept], rejects

    def forget(self, partitions: Collection[Partition]) -> IntArray:
        """Free the rows of these partitions' units and return them, to be cleared."""
        freed = [row for p in partitions for row in self._row_of.pop(p, {}).values()]
        self._free_rows += freed
        return np.array(freed, dtype=np.int64)

    def free(self, rows: IntArray) -> None:
        """Give up the units in these rows, which are cleared already."""
        partitions = list(self._number_of)
        for row in rows.tolist():
            partition = partitions[self._partition_of_row[row]]
            del self._row_of[partition][self._names[row]]
            self._free_rows.append(row)

    def _new_row(self, partition: Partition, unit: str) -> int:
        number = self._number_of.setdefault(partition, len(self._number_of))
        if self._free_rows:
            row = self._free_rows.pop()
            self._names[row], self._partition_of_row[row] = unit, number
            return row
        self._names.append(unit)
        self._partition_of_row.append(number)
        return len(self._names) - 1


def _runs(record_N: IntArray) -> Iterator[tuple[int, slice]]:
    """Each record, and where its readings stand among these: they are in record order."""
    for begin, end in pairwise([*group_starts(record_N).tolist(), len(record_N)]):
        yield int(record_N[begin]), slice(begin, end)
