"""A file of readings of any length, piece by piece through the worker's own windows."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray, Readings
from pipeline.table import Table, as_table, check_names
from pipeline.table_file import NotAllNumbers, TableFile, open_table
from pipeline.window import LiveWindows, SlidingWindows
from trainer.history import columns, listed, shortened


class Piece(NamedTuple):
    """N consecutive rows of a file, and the B windows that they complete."""

    readings: Readings
    """Every row, late ones too, in the detector's sensors; offsets are rows of the file."""
    unit_N: IntArray
    """Each row's unit, as an index of `DataStream.units`."""
    label_N: BoolArray | None
    windows: LiveWindows
    line_B: IntArray | None
    """See `Scaling.line`; None where all units are scaled alike."""


class Lines:
    """Which scaler each unit has, asked for each unit once."""

    def __init__(self, detector: Detector) -> None:
        self._scaling = detector.scaling
        self._line_U: IntArray = np.empty(0, dtype=np.int64)

    def of(self, units: Sequence[str]) -> IntArray | None:
        """See `Scaling.line`; None where all are scaled alike.

        Args:
            units: those of the last call, and more.
        """
        if not self._scaling.units:
            return None
        new = [self._scaling.line(unit) for unit in units[len(self._line_U) :]]
        self._line_U = np.concatenate([self._line_U, np.array(new, dtype=np.int64)])
        return self._line_U


class DataStream:
    """Goes through a CSV or Parquet file once, in memory that does not grow with its rows.

    Owns what is kept of each unit from piece to piece: its last T-1 readings. A row that is
    older than one of its unit before it is late, and in no window, as in the worker.
    """

    def __init__(self, path: Path, loaded: LoadedDetector) -> None:
        """Look at the file.

        Args:
            path: CSV or Parquet, with all of the detector's sensors.
            loaded: the detector.

        Raises:
            InputError: the file cannot be read, or lacks a sensor.
        """
        file = open_table(path)
        check_names(file)
        self._sensors = loaded.detector.sensors
        check_sensors(file, self._sensors)
        self._file = file
        self._loaded = loaded
        beside = [name for name in ("time", "unit", "label") if name in file.names]
        self._names = [*beside, *self._sensors]
        self.n_rows, self._as_text = counted(file, self._names)
        self.is_labelled = "label" in file.names
        self.units: list[str] = []
        """Those that have come, in that order."""
        self.n_late = 0
        self._notes: dict[str, None] = {}
        self._unit_lines = Lines(loaded.detector)

    @property
    def notes(self) -> list[str]:
        """What was left out or taken as missing so far, in words."""
        late = [f"{self.n_late:,} rows were late: older than one of their unit before"]
        return [*shortened(list(self._notes)), *(late if self.n_late else [])]

    def pieces(
        self, on_progress: Callable[[float], None] = lambda done: None
    ) -> Iterator[Piece]:
        """All rows in the order of the file. To be called once.

        Args:
            on_progress: told the share of rows that are done, 0 to 1.

        Raises:
            InputError: a column is not what it must be; no sensor has a value, or no unit
                a window, which is only known at the end.
        """
        detector = self._loaded.detector
        windows = SlidingWindows(detector.window, len(self._sensors))
        row_of: dict[str, int] = {}
        text = set(self._sensors)
        has_value, n_windows, n_U = False, 0, np.zeros(0, dtype=np.int64)
        begin = 0
        for rows in self._file.pieces(self._names, self._as_text):
            if not len(rows):
                continue
            table = as_table(self._file.path, rows, begin + np.arange(len(rows)))
            self._notes.update(dict.fromkeys(table.notes))
            text.difference_update(table.sensors)
            rows_U = np.array([row_of.setdefault(u, len(row_of)) for u in table.units])
            unit_N = rows_U[table.unit_N]
            self.units += list(row_of)[len(self.units) :]
            n_U = np.pad(n_U, (0, len(row_of) - len(n_U)))
            n_U += np.bincount(unit_N, minlength=len(n_U))
            readings = self._readings(table, begin)
            has_value = has_value or not np.isnan(readings.values_NF).all()
            # One stretch: these windows span silences.
            [live] = windows.extend(readings, unit_N, len(row_of))
            self.n_late += live.n_late
            n_windows += len(live)
            yield Piece(readings, unit_N, table.label_N, live, self._lines(live.row_B))
            begin += len(rows)
            on_progress(begin / max(self.n_rows, 1))
        check_whole(self._file.path, text, detector.window, has_value, n_windows, n_U)

    def _lines(self, row_B: IntArray) -> IntArray | None:
        line_U = self._unit_lines.of(self.units)
        return None if line_U is None else np.asarray(line_U[row_B])

    def _readings(self, table: Table, begin: int) -> Readings:
        units = [table.units[number] for number in table.unit_N.tolist()]
        values_NF = in_order(table, self._sensors)
        return columns(units, table.time_s_N, values_NF, begin)


def check_sensors(file: TableFile, sensors: Sequence[str]) -> None:
    """Raise InputError if a file lacks one of the detector's sensors."""
    missing = [sensor for sensor in sensors if sensor not in file.names]
    if missing:
        raise InputError(
            f"{file.path}: expected the detector's {len(sensors)} sensors, "
            f"{listed(missing)} are missing; the file has {listed(file.names)}"
        )


def check_whole(
    path: Path,
    text: Collection[str],
    length: int,
    has_value: bool,
    n_windows: int,
    n_U: IntArray,
) -> None:
    """Raise InputError if what was read of a file is of no use to a detector.

    Args:
        path: of the file.
        text: the detector's sensors that are no numbers anywhere in it.
        length: T, readings in a window.
        has_value: whether one of the detector's sensors has one.
        n_windows: how many there were.
        n_U: each unit's rows.
    """
    if not len(n_U):
        raise InputError(f"{path}: expected rows, found none below the header")
    if text:
        raise InputError(
            f"{path}: expected numbers of the detector's sensors, got nothing but text in "
            f"{listed(sorted(text))}"
        )
    if not has_value:
        raise InputError(f"{path}: none of the detector's sensors has a value in any row")
    if not n_windows:
        raise InputError(
            f"{path}: expected at least {length} readings of a unit (one window), the "
            f"longest has {int(n_U.max())}"
        )


def in_order(table: Table, sensors: Sequence[str]) -> FloatArray:
    """The sensors' values. A column that is all text in this piece has none."""
    position = {name: index for index, name in enumerate(table.sensors)}
    values_NF = np.full((len(table), len(sensors)), np.nan, dtype=np.float32)
    for index, sensor in enumerate(sensors):
        if sensor in position:
            values_NF[:, index] = table.values_NF[:, position[sensor]]
    return values_NF


def counted(file: TableFile, names: list[str]) -> tuple[int, bool]:
    """How many rows, and whether its numbers have to be read as text."""

    def count(names: list[str], as_text: bool) -> int:
        rows: Iterator[pa.Table] = file.pieces(names, as_text)
        return sum(len(piece) for piece in rows)

    if file.is_typed:
        return count(["time"], as_text=False), False
    try:
        return count(names, as_text=False), False
    except NotAllNumbers:
        return count(names, as_text=True), True
