"""A table to compress: what is in it, then its rows in blocks of bounded size."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray
from pipeline.table import NOT_SENSORS, as_table, check_names
from pipeline.table_file import TableFile, open_table
from trainer.compress.columns import Quantiser
from trainer.compress.layout import MAX_BLOCK_ROWS, MAX_BLOCK_VALUES, MAX_COLUMNS
from trainer.data_stream import check_sensors, check_whole, counted, in_order
from trainer.history import shortened


class Survey(NamedTuple):
    """What is in a table, from one pass over it."""

    n_rows: int
    units: list[str]
    """In the order in which they come."""
    columns: list[str]
    """Those that are kept, in the table's order."""
    quantisers: dict[str, Quantiser]
    """Of each sensor that is kept, in that order."""
    notes: list[str]
    """What is left out or taken as missing, in words."""


class Rows(NamedTuple):
    """N consecutive rows in the table's order."""

    unit_N: IntArray
    """As an index of `Survey.units`."""
    time_us_N: IntArray
    label_N: BoolArray | None
    values_NF: FloatArray
    """Of all sensors that are kept. NaN where missing."""


class Source:
    """A CSV or Parquet file, gone through several times in bounded memory."""

    def __init__(self, path: Path, sensors: tuple[str, ...]) -> None:
        """Look at the file.

        Args:
            path: CSV or Parquet.
            sensors: which it must have; it may have others.

        Raises:
            InputError: it cannot be read, or lacks a sensor.
        """
        self._file: TableFile = open_table(path)
        check_names(self._file)
        check_sensors(self._file, sensors)
        if len(self._file.names) > MAX_COLUMNS:
            raise InputError(f"{path}: expected at most {MAX_COLUMNS:,} columns")
        self._path, self._wanted = path, sensors
        self._n_rows, self._as_text = counted(self._file, self._file.names)

    def survey(
        self, max_error: float, length: int, on_progress: Callable[[float], None]
    ) -> Survey:
        """Go through the file once.

        Args:
            max_error: of the quantisers.
            length: T, readings in the detector's window.
            on_progress: told the share of rows that are done, 0 to 1.

        Raises:
            InputError: a column is not what it must be, none of the detector's sensors has
                a value, or no unit a window.
        """
        lowest: dict[str, float] = {}
        highest: dict[str, float] = {}
        numbers: dict[str, int] = {}
        notes: dict[str, None] = {}
        n_U, begin = np.zeros(0, dtype=np.int64), 0
        for rows in self._file.pieces(self._file.names, self._as_text):
            if not len(rows):
                continue
            table = as_table(self._path, rows, begin + np.arange(len(rows)))
            notes.update(dict.fromkeys(table.notes))
            row_U = np.array([numbers.setdefault(u, len(numbers)) for u in table.units])
            n_U = np.pad(n_U, (0, len(numbers) - len(n_U)))
            n_U += np.bincount(row_U[table.unit_N], minlength=len(n_U))
            for sensor, values_N in zip(table.sensors, table.values_NF.T, strict=True):
                low, high = np.fmin.reduce(values_N), np.fmax.reduce(values_N)
                lowest[sensor] = float(np.fmin(lowest.get(sensor, np.nan), low))
                highest[sensor] = float(np.fmax(highest.get(sensor, np.nan), high))
            begin += len(rows)
            on_progress(begin / max(self._n_rows, 1))
        has_value = any(not np.isnan(lowest.get(s, np.nan)) for s in self._wanted)
        n_windows = int((n_U >= length).sum())
        text = set(self._wanted).difference(lowest)
        check_whole(self._path, text, length, has_value, n_windows, n_U)
        kept = {*NOT_SENSORS, *lowest}
        columns = [name for name in self._file.names if name in kept]
        sensors = [name for name in columns if name not in NOT_SENSORS]
        quantisers = {
            sensor: Quantiser(
                float(np.nan_to_num(lowest[sensor])),
                float(np.nan_to_num(highest[sensor])),
                max_error,
            )
            for sensor in sensors
        }
        return Survey(begin, list(numbers), columns, quantisers, shortened(list(notes)))

    def blocks(
        self, survey: Survey, on_progress: Callable[[float], None]
    ) -> Iterator[Rows]:
        """All rows in order.

        Raises:
            InputError: the file is not what it was.
        """
        number_of = {unit: number for number, unit in enumerate(survey.units)}
        begin = 0
        n_sensors = len(survey.quantisers)
        n_at_once = min(MAX_BLOCK_ROWS, MAX_BLOCK_VALUES // n_sensors)
        for rows in _blocks(self._file.pieces(survey.columns, self._as_text), n_at_once):
            table = as_table(self._path, rows, begin + np.arange(len(rows)))
            begin += len(rows)
            if begin > survey.n_rows or not number_of.keys() >= set(table.units):
                raise InputError(f"{self._path}: it changed while it was read")
            unit_U = np.array([number_of[unit] for unit in table.units], dtype=np.int64)
            yield Rows(
                unit_U[table.unit_N],
                np.rint(table.time_s_N * 1e6).astype(np.int64),
                table.label_N,
                in_order(table, list(survey.quantisers)),
            )
            on_progress(begin / survey.n_rows)
        if begin != survey.n_rows:
            raise InputError(f"{self._path}: it changed while it was read")


def _blocks(pieces: Iterator[pa.Table], n_rows: int) -> Iterator[pa.Table]:
    """The same rows, so many at a time; fewer at the end."""
    waiting: list[pa.Table] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += len(piece)
        if n_waiting < n_rows:
            continue
        rows = pa.concat_tables(waiting)
        n_done = n_waiting - n_waiting % n_rows
        for begin in range(0, n_done, n_rows):
            yield rows.slice(begin, n_rows)
        waiting, n_waiting = [rows.slice(n_done)], n_waiting - n_done
    if n_waiting:
        yield pa.concat_tables(waiting)
