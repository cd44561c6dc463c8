"""Sensor tables in CSV or Parquet: `time`, optionally `unit` and `label`, then sensors."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from pipeline.decode import MAX_UNIT_CHARS
from pipeline.errors import InputError
from pipeline.records import FloatArray, IntArray, TimeArray
from pipeline.sensor_column import sensor_column
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
    table = _read(path)
    names = table.column_names
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InputError(f"{path}: the columns {duplicates} occur more than once")
    if "time" not in names:
        raise InputError(
            f"{path}: expected a column 'time' and one column per sensor, got {names}"
        )
    if len(table) == 0:
        raise InputError(f"{path}: expected rows, found none below the header")
    notes: list[str] = []
    unit_N, units = _units(path, table)
    columns: dict[str, FloatArray] = {}
    for name in names:
        if name in NOT_SENSORS:
            continue
        column = sensor_column(name, table.column(name), unit_N, notes)
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
        time_s_N=_times(path, table.column("time")),
        unit_N=unit_N,
        values_NF=np.column_stack(list(columns.values())),
        label_N=_labels(path, table) if "label" in names else None,
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


def _read(path: Path) -> pa.Table:
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            return pyarrow.parquet.read_table(path)
        return _read_csv(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: expected CSV or Parquet with a header: {first_line}"
        ) from error


def _read_csv(path: Path) -> pa.Table:
    # Types are never guessed: a guess is made from a file's first megabyte alone.
    with pyarrow.csv.open_csv(path) as reader:
        names = reader.schema.names
    text = dict.fromkeys(names, pa.string())
    numbers = {name: pa.float64() for name in names if name not in ("time", "unit")}
    for types in (text | numbers, text):
        options = pyarrow.csv.ConvertOptions(column_types=types)
        try:
            return pyarrow.csv.read_csv(path, convert_options=options)
        except pa.ArrowInvalid:
            # Some column is not all numbers; read as text, it is looked at by itself.
            if types is text:
                raise
    raise AssertionError("the second reading either returns or raises")


def _times(path: Path, column: pa.ChunkedArray) -> TimeArray:
    kind = column.type
    if column.null_count:
        row = column.is_null().to_numpy().argmax() + 1
        raise InputError(f"{path}: row {row}: expected a time, got nothing")
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_timestamp(kind):
        ticks = pc.cast(column, pa.int64()).to_numpy()
        return _plausible(path, ticks / TICKS_PER_S[kind.unit])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _plausible(path, pc.cast(column, pa.float64()).to_numpy())
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(f"{path}: column 'time' is {kind}; expected times or numbers")
    times_s = np.empty(len(column), dtype=np.float64)
    for row, text in enumerate(column.to_pylist()):
        try:
            times_s[row] = _time_s(text)
        except ValueError as error:
            raise InputError(
                f"{path}: row {row + 1}: time: expected ISO 8601 or seconds since 1970, "
                f"got {text!r}"
            ) from error
    return _plausible(path, times_s)


def _time_s(text: str) -> float:
    # ISO 8601 first, as in a reading: 20260101 is a day, not a number of seconds.
    try:
        return parse_iso_s(text)
    except ValueError:
        return float(text)


def _plausible(path: Path, times_s: npt.NDArray[np.float64]) -> TimeArray:
    wrong = ~((times_s >= 0.0) & (times_s < END_OF_CALENDAR_S))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: row {row + 1}: time: expected seconds since 1970, before the year "
            f"10000, got {times_s[row]:g}"
        )
    return np.round(times_s, 6)


def _units(path: Path, table: pa.Table) -> tuple[IntArray, tuple[str, ...]]:
    if "unit" not in table.column_names:
        return np.zeros(len(table), dtype=np.int64), (ONLY_UNIT,)
    column = pc.cast(table.column("unit"), pa.string())
    empty = pc.fill_null(pc.equal(column, ""), True).to_numpy(zero_copy_only=False)
    if empty.any():
        row = int(np.argmax(empty)) + 1
        raise InputError(
            f"{path}: row {row}: expected a unit, got nothing; name every row's unit, or "
            "leave out the column 'unit'"
        )
    # Live readings of such a unit are refused: a detector of it would be of no use.
    n_chars_N = pc.utf8_length(column).to_numpy()
    if (n_chars_N > MAX_UNIT_CHARS).any():
        row = int(np.argmax(n_chars_N > MAX_UNIT_CHARS))
        raise InputError(
            f"{path}: row {row + 1}: expected a unit of at most {MAX_UNIT_CHARS} "
            f"characters, got {n_chars_N[row]}; give it a shorter name, here and live"
        )
    encoded = column.combine_chunks().dictionary_encode()
    unit_N = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return unit_N, tuple(encoded.dictionary.to_pylist())


def _labels(path: Path, table: pa.Table) -> npt.NDArray[np.bool_]:
    try:
        column = pc.cast(table.column("label"), pa.float64())
        label_N = column.to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise InputError(f"{path}: column 'label': {error}") from error
    wrong = ~np.isin(label_N, (0.0, 1.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{path}: row {row + 1}: label: expected 0 or 1, got {label_N[row]:g}"
        )
    return np.asarray(label_N == 1.0)
