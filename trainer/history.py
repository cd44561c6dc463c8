"""History: a table's readings, sorted into one series per unit."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.detector.manifest import is_sensor_name
from pipeline.errors import InputError
from pipeline.records import FloatArray, IntArray, TimeArray
from pipeline.table import Table, read_table


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

    def __len__(self) -> int:
        return len(self.time_s_N)

    def step_s(self) -> float:
        """Median time between two readings of a unit, in seconds; 0.0 if there is none."""
        steps_s = np.diff(self.time_s_N)
        if len(steps_s):
            within_unit = np.ones(len(steps_s), dtype=np.bool_)
            within_unit[self.begin_U[1:-1] - 1] = False
            steps_s = steps_s[within_unit]
        return float(np.median(steps_s)) if len(steps_s) else 0.0

    def digest(self) -> str:
        """SHA-256 over sensors, units, times, values and labels."""
        sha = hashlib.sha256(repr((self.sensors, self.units)).encode())
        for column in (self.time_s_N, self.values_NF, self.label_N, self.begin_U):
            sha.update(np.ascontiguousarray(column).data)
        return "sha256:" + sha.hexdigest()


def read_history(path: Path) -> History:
    """Read a CSV or Parquet table as history.

    Raises:
        InputError: the file is no such table, or none of its sensors has a value.
    """
    return as_history(path, read_table(path))


def as_history(path: Path, table: Table) -> History:
    """Sort a table into series, and leave out sensors that hold nothing.

    Raises:
        InputError: no sensor has a value, or one has a name that readings cannot hold.
    """
    if unusable := [name for name in table.sensors if not is_sensor_name(name)]:
        raise InputError(
            f"{path}: expected names of sensors without quotes, backslashes and line ends, "
            f"got {unusable}; rename these columns"
        )
    notes = list(table.notes)
    has_value_F = ~np.isnan(table.values_NF).all(axis=0)
    notes += [
        f"column {name!r} left out: it has no value"
        for name in np.array(table.sensors)[~has_value_F].tolist()
    ]
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
    )
