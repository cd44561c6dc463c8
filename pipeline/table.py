"""Sensor tables in CSV or Parquet: `time`, optionally `unit` and `label`, then sensors."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.decode import MAX_UNIT_CHARS
from pipeline.errors import InputError, one_line
from pipeline.records import FloatArray, IntArray, TimeArray
from pipeline.sensor_column import sensor_column
from pipeline.table_file import TableFile, open_table
from pipeline.times import END_OF_CALENDAR_S, parse_iso_s

ONLY_UNIT = "unit-1"
"""The unit of a table that has no column `unit`."""
NOT_SENSORS = ("time", "unit", "label")
TICKS_PER_S = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True, slots=True)
class Table:
    """N readings in the order of the file."""

    sensors: tuple[str, ...]
    units: tuple[str, ...]
    time_s_N: TimeArray
    unit_N: IntArray
    """Index into `units`."""
    values_NF: FloatArray
    """NaN where missing."""
    label_N: npt.NDArray[np.bool_] | None
    """Where the file has labels: whether a reading is part of an anomaly."""
    notes: list[str] = field(default_factory=list)
    """What was left out or taken as missing, in words."""

    def __len__(self) -> int:
        return len(self.time_s_N)


def read_table(path: Path) -> Table:
    """Read a CSV (also gzipped) or Parquet file, told apart by name and content.

    Raises:
        InputError: the file cannot be read, or a column is not what it must be.
    """
    file = open_table(path)
    check_names(file)
    return as_table(path, file.read())


def check_names(file: TableFile) -> None:
    """Raise InputError if two columns have one name, or none is called `time`."""
    path, names = file.path, file.names
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InputError(f"{path}: the columns {duplicates} occur more than once")
    if "time" not in names:
        raise InputError(
            f"{path}: expected a column 'time' and one column per sensor, got {names}"
        )


def as_table(path: Path, rows: pa.Table, row_N: IntArray | None = None) -> Table:
    """Columns of a file as readings.

    Args:
        path: of the file.
        rows: of it, all or some.
        row_N: which these are, counted from 0; None: all of them.

    Raises:
        InputError: a column is not what it must be.
    """
    if len(rows) == 0:
        raise InputError(f"{path}: expected rows, found none below the header")
    place = _Place(path, row_N)
    notes: list[str] = []
    unit_N, units = _units(place, rows)
    columns: dict[str, FloatArray] = {}
    names = rows.column_names
    for name in names:
        if name in NOT_SENSORS:
            continue
        column = sensor_column(name, rows.column(name), unit_N, notes)
        if column is not None:
            columns[name] = column
    if not columns:
        raise InputError(
            f"{path}: expected at least one column of numbers beside {NOT_SENSORS}, "
            f"got {names}"
        )
    return Table(
        sensors=tuple(columns),
        units=units,
        time_s_N=_times(place, rows.column("time")),
        unit_N=unit_N,
        values_NF=np.column_stack(list(columns.values())),
        label_N=_labels(place, rows) if "label" in names else None,
        notes=notes,
    )


def first_rows(table: Table, n_rows: int) -> Table:
    """The first rows of a table, all of it if it has no more."""
    label_N = table.label_N
    return replace(
        table,
        time_s_N=table.time_s_N[:n_rows],
        unit_N=table.unit_N[:n_rows],
        values_NF=table.values_NF[:n_rows],
        label_N=None if label_N is None else label_N[:n_rows],
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows stand, for errors that name one."""

    path: Path
    row_N: IntArray | None
    """Counted from 0; None: the first rows of the file."""

    def row(self, index: int) -> str:
        """File and row, counted from 1."""
        number = index if self.row_N is None else int(self.row_N[index])
        return f"{self.path}: row {number + 1}"


def _times(place: _Place, column: pa.ChunkedArray) -> TimeArray:
    kind = column.type
    if column.null_count:
        row = int(column.is_null().to_numpy().argmax())
        raise InputError(f"{place.row(row)}: expected a time, got nothing")
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_timestamp(kind):
        ticks = pc.cast(column, pa.int64()).to_numpy()
        return _plausible(place, ticks / TICKS_PER_S[kind.unit])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _plausible(place, pc.cast(column, pa.float64()).to_numpy())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(
            f"{place.path}: column 'time' is {kind}; expected times or numbers"
        )
    times_s = np.empty(len(column), dtype=np.float64)
    for row, text in enumerate(column.to_pylist()):
        try:
            times_s[row] = _time_s(text)
        except ValueError as error:
            raise InputError(
                f"{place.row(row)}: time: expected ISO 8601 or seconds since 1970, "
                f"got {text!r}"
            ) from error
    return _plausible(place, times_s)


def _time_s(text: str) -> float:
    # ISO 8601 first, as in a reading: 20260101 is a day, not a number of seconds.
    try:
        return parse_iso_s(text)
    except ValueError:
        return float(text)


def _plausible(place: _Place, times_s: npt.NDArray[np.float64]) -> TimeArray:
    wrong = ~((times_s >= 0.0) & (times_s < END_OF_CALENDAR_S))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{place.row(row)}: time: expected seconds since 1970, before the year "
            f"10000, got {times_s[row]:g}"
        )
    return np.round(times_s, 6)


def _units(place: _Place, table: pa.Table) -> tuple[IntArray, tuple[str, ...]]:
    if "unit" not in table.column_names:
        return np.zeros(len(table), dtype=np.int64), (ONLY_UNIT,)
    column = pc.cast(table.column("unit"), pa.string())
    empty = pc.fill_null(pc.equal(column, ""), True).to_numpy(zero_copy_only=False)
    if empty.any():
        row = int(np.argmax(empty))
        raise InputError(
            f"{place.row(row)}: expected a unit, got nothing; name every row's unit, or "
            "leave out the column 'unit'"
        )
    # Live readings of such a unit are refused: a detector of it would be of no use.
    n_chars_N = pc.utf8_length(column).to_numpy()
    if (n_chars_N > MAX_UNIT_CHARS).any():
        row = int(np.argmax(n_chars_N > MAX_UNIT_CHARS))
        raise InputError(
            f"{place.row(row)}: expected a unit of at most {MAX_UNIT_CHARS} "
            f"characters, got {n_chars_N[row]}; give it a shorter name, here and live"
        )
    encoded = column.combine_chunks().dictionary_encode()
    unit_N = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return unit_N, tuple(encoded.dictionary.to_pylist())


def _labels(place: _Place, table: pa.Table) -> npt.NDArray[np.bool_]:
    try:
        column = pc.cast(table.column("label"), pa.float64())
        label_N = column.to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InputError(
            f"{place.path}: column 'label': expected 0 or 1: {one_line(error)}"
        ) from error
    wrong = ~np.isin(label_N, (0.0, 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{place.row(row)}: label: expected 0 or 1, got {label_N[row]:g}")
    return np.asarray(label_N == 1.0)
