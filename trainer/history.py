"""A table's readings, one series per unit: to learn from, or to put through a detector."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.detector.manifest import is_sensor_name
from pipeline.errors import InputError
from pipeline.plain_text import plain
from pipeline.records import (
    BoolArray,
    FloatArray,
    IntArray,
    Partition,
    Readings,
    TimeArray,
)
from pipeline.table import Table
from pipeline.window import SlidingWindows

MAX_LISTED = 20
"""Names in a line, and lines of notes, however many columns a table has."""
MAX_NAME_CHARS = 60
MAX_NOTE_CHARS = 200


@dataclass(frozen=True, slots=True)
class History:
    """N readings, those of one unit together and each unit's in the order of time."""

    sensors: tuple[str, ...]
    units: tuple[str, ...]
    time_s_N: TimeArray
    values_NF: FloatArray
    """NaN where missing."""
    label_N: npt.NDArray[np.bool_]
    """Labelled as anomalous: kept out of everything that is learned."""
    begin_U: IntArray
    """Index of each unit's first reading, and N at the end: U+1 values."""
    notes: list[str]
    """What was left out and why, in words."""
    anomalous_N: BoolArray | None = None
    """Those of `label_N` that training is to hold against the others; None where labels
    are not learned from."""
    silenced_N: BoolArray | None = None
    """Normal readings that looked anomalous; None as above."""
    joint_J: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Readings that do not follow on the one before: readings between were left out."""
    n_beyond: int = 0
    """Rows of the file that were left out because it is too long."""
    n_of_short_units: int = 0
    """Rows of the file that were left out with it, of units too short to learn from."""

    @property
    def n_rows(self) -> int:
        """Of the whole file."""
        return len(self) + self.n_beyond + self.n_of_short_units

    def __len__(self) -> int:
        return len(self.time_s_N)

    @property
    def unit_N(self) -> IntArray:  # noqa: N802 - a shape suffix, as everywhere
        """Each reading's unit, as an index of `units`."""
        return np.repeat(np.arange(len(self.units)), np.diff(self.begin_U))

    def digest(self) -> str:
        """SHA-256 over sensors, units, times, values, labels and joints."""
        sha = hashlib.sha256(repr((self.sensors, self.units)).encode())
        columns = (self.time_s_N, self.values_NF, self.label_N, self.begin_U, self.joint_J)
        for column in columns:
            sha.update(np.ascontiguousarray(column).data)
        for flag_N in (self.anomalous_N, self.silenced_N):
            # What came of no labels keeps its digest.
            if flag_N is not None:
                sha.update(np.ascontiguousarray(flag_N).data)
        return "sha256:" + sha.hexdigest()


def as_history(path: Path, table: Table, stretch_N: IntArray | None = None) -> History:
    """Sort a table into series, and leave out sensors that hold nothing.

    Args:
        path: of the table's file.
        table: N readings.
        stretch_N: the stretch of its unit that each is part of; None if no rows of the file
            were left out.

    Raises:
        InputError: no sensor has a value, or one has a name that readings cannot hold.
    """
    if unusable := [name for name in table.sensors if not is_sensor_name(name)]:
        raise InputError(
            f"{path}: expected names of sensors without quotes, backslashes and line ends, "
            f"got {listed(unusable)}; rename these columns"
        )
    notes = shortened(table.notes)
    has_value_F = ~np.isnan(table.values_NF).all(axis=0)
    if not has_value_F.all():
        empty = np.array(table.sensors)[~has_value_F].tolist()
        notes.append(f"columns left out, they have no value: {listed(empty)}")
    if not has_value_F.any():
        raise InputError(f"{path}: no sensor has a value")
    order_N = np.lexsort((table.time_s_N, table.unit_N))
    n_steps_back = int(((np.diff(table.time_s_N) < 0) & (np.diff(table.unit_N) == 0)).sum())
    if n_steps_back:
        notes.append(f"rows were not in the order of time ({n_steps_back} steps back)")
    label_N = (
        np.zeros(len(table), dtype=np.bool_) if table.label_N is None else table.label_N
    )
    begin_U = np.searchsorted(
        table.unit_N[order_N], np.arange(len(table.units) + 1), side="left"
    )
    return History(
        sensors=tuple(np.array(table.sensors)[has_value_F].tolist()),
        units=table.units,
        time_s_N=table.time_s_N[order_N],
        values_NF=table.values_NF[order_N][:, has_value_F],
        label_N=label_N[order_N],
        begin_U=begin_U,
        notes=notes,
        joint_J=_joints(stretch_N, order_N),
    )


def _joints(stretch_N: IntArray | None, order_N: IntArray) -> IntArray:
    """Where, in this order, another stretch begins than the one before."""
    if stretch_N is None:
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(np.diff(stretch_N[order_N])) + 1


def without_end(history: History, share: float) -> History:
    """Leave out the last readings of each unit, as if they had not been made.

    Args:
        history: N readings.
        share: of each unit's readings, 0 or more and below 1.
    """
    if not share:
        return history
    n_U = np.diff(history.begin_U)
    n_kept_U = n_U - np.floor(n_U * share).astype(np.int64)
    rank_N = np.arange(len(history)) - np.repeat(history.begin_U[:-1], n_U)
    kept_N = rank_N < np.repeat(n_kept_U, n_U)
    is_joint_N = np.zeros(len(history), dtype=np.bool_)
    is_joint_N[history.joint_J] = True
    n_out = int((~kept_N).sum())
    told = f"test part, the last {100 * share:.3g} % of each unit: {n_out:,} rows"
    return replace(
        history,
        time_s_N=history.time_s_N[kept_N],
        values_NF=history.values_NF[kept_N],
        label_N=history.label_N[kept_N],
        begin_U=np.concatenate([[0], np.cumsum(n_kept_U)]),
        joint_J=np.flatnonzero(is_joint_N[kept_N]),
        notes=[*history.notes, told],
    )


@dataclass(frozen=True, slots=True)
class UnitReadings:
    """N readings of one unit, in the order of time: none of them is late."""

    unit: str
    time_s_N: TimeArray
    values_NF: FloatArray
    """In the order of the detector's sensors. NaN where missing."""
    label_N: BoolArray
    first_sensor_N: FloatArray
    """Of the table's sensors the first, whether or not the detector knows it."""

    def __len__(self) -> int:
        return len(self.time_s_N)

    def columns(self, rows: slice) -> Readings:
        """These rows as one poll would bring them."""
        time_s_N = self.time_s_N[rows]
        return columns([self.unit] * len(time_s_N), time_s_N, self.values_NF[rows])


class Recording:
    """A table as the worker takes it: a detector's sensors, and no late readings."""

    def __init__(self, table: Table, sensors: tuple[str, ...]) -> None:
        """Prepare a table that holds all these sensors."""
        self._table = table
        position = {name: column for column, name in enumerate(table.sensors)}
        self._columns_F = [position[name] for name in sensors]
        self._row_N = _rows_in_time(table)
        self._begin_U = np.searchsorted(
            table.unit_N[self._row_N], np.arange(len(table.units) + 1)
        )

    def __len__(self) -> int:
        return len(self._row_N)

    def unit(self, number: int) -> UnitReadings:
        """The readings of the unit at this index of the table's.

        A view where the table has them in order, as a long table of one unit does.
        """
        table = self._table
        row_N = self._row_N[self._begin_U[number] : self._begin_U[number + 1]]
        rows: IntArray | slice = row_N
        if len(row_N) and (np.diff(row_N) == 1).all():
            rows = slice(int(row_N[0]), int(row_N[-1]) + 1)
        values_NF = table.values_NF[rows]
        first_sensor_N = values_NF[:, 0]
        if self._columns_F != list(range(values_NF.shape[1])):
            values_NF = values_NF[:, self._columns_F]
        return UnitReadings(
            unit=table.units[number],
            time_s_N=table.time_s_N[rows],
            values_NF=values_NF,
            label_N=(
                np.zeros(len(row_N), dtype=np.bool_)
                if table.label_N is None
                else table.label_N[rows]
            ),
            first_sensor_N=first_sensor_N,
        )

    def longest(self) -> int:
        """Readings of the unit that has the most."""
        return int(np.diff(self._begin_U).max())


def listed(names: Sequence[str]) -> str:
    """Names in one line that does not grow without bound."""
    shown = [_shown(name, MAX_NAME_CHARS) for name in names[:MAX_LISTED]]
    n_more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {n_more:,} more" if n_more else "")


def shortened(notes: Sequence[str]) -> list[str]:
    """The first notes, each one line of bounded length, and how many more there are."""
    n_more = len(notes) - MAX_LISTED
    more = [f"{n_more:,} more notes like these"] if n_more > 0 else []
    return [*(_shown(note, MAX_NOTE_CHARS) for note in notes[:MAX_LISTED]), *more]


def _shown(text: str, max_chars: int) -> str:
    return plain(text if len(text) <= max_chars else text[: max_chars - 1] + "…")


def _rows_in_time(table: Table) -> IntArray:
    """The rows that are not late, those of a unit together, by the worker's own step.

    A window of one reading ends with every reading but the late ones.
    """
    units = [table.units[number] for number in table.unit_N.tolist()]
    nothing_NF = np.empty((len(table), 0), dtype=np.float32)
    readings = columns(units, table.time_s_N, nothing_NF)
    windows = SlidingWindows(length=1, n_sensors=0)
    [emitted] = windows.extend(readings, table.unit_N, len(table.units))
    return emitted.reading_B


def columns(
    units: list[str], time_s_N: TimeArray, values_NF: FloatArray, begin: int = 0
) -> Readings:
    """Readings of one partition, each a record of its own, offsets from `begin` on."""
    index_N = np.arange(len(units), dtype=np.int64)
    return Readings(
        units=units,
        time_s_N=time_s_N,
        values_NF=values_NF,
        record_N=index_N,
        offset_N=begin + index_N,
        partition_N=np.zeros(len(units), dtype=np.int64),
        partitions=(Partition("", 0),),
    )
