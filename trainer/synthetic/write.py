"""Synthetic readings as a table, like any history."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainer.synthetic.rows import Rows
from trainer.table_out import TIME, names, table_out, times


def write_rows(
    out: Path,
    sensors: Sequence[str],
    rows: Iterator[Rows],
    n_rows: int,
    start_s: float,
    step_s: float,
    on_progress: Callable[[float], None],
) -> str:
    """Write rows, whole or not at all, and say what was written.

    Columns: `time`, `unit`, one for each sensor in its own unit, and `label`, 1 where a
    fault was put in.

    Args:
        out: ends in .parquet or .csv.
        sensors: names of the columns of values.
        rows: what is written.
        n_rows: how many there will be.
        start_s: time of each unit's first, in seconds since 1970.
        step_s: from one to the next.
        on_progress: told the share done, 0 to 1.

    Raises:
        InputError: it cannot be written.
    """
    columns = [pa.field("time", TIME), pa.field("unit", pa.string())]
    columns += [pa.field(sensor, pa.float32()) for sensor in sensors]
    schema = pa.schema([*columns, pa.field("label", pa.int8())])
    n_labelled = 0
    with table_out(out, "the readings", schema) as table:
        for piece in rows:
            values = dict(zip(sensors, piece.values_NF.T, strict=True))
            table.write(
                {
                    "time": times(start_s + step_s * piece.step_N.astype(np.float64)),
                    "unit": names(piece.units, piece.unit_N),
                    **values,
                    "label": piece.label_N.astype(np.int8),
                }
            )
            n_labelled += int(piece.label_N.sum())
            on_progress(table.n_rows / n_rows)
    faults = f", {n_labelled:,} of them faulty" if n_labelled else ""
    return f"{table.n_rows:,} readings{faults}: {out}"
