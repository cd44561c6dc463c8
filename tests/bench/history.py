"""Training on a long history: how much memory it takes, and how long.

`python -m tests.bench.history --history FILE --out FOLDER --window T --steps S` fits on a
file and prints what that took.
"""

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tests.bench import child
from tests.bench.protocol import Goal, Line
from tests.bench.site import AE, Site
from tests.bench.stream import BEGIN_S, N_UNITS, SENSORS, series, unit_name
from trainer.distributed import ALONE
from trainer.fit_file import fit_file

N_LONG = 3_000_000
N_LONGEST = 50_000_000
N_SHORT = 200_000
WINDOW = 32
SHORT_WINDOW, LONG_WINDOW = 8, 64
GROUP_STEPS = 5_000
STEP_S = 60.0
STEPS = 100
"""Mini-batches: what is measured is what comes before and after them."""
GIB = 2**30


def run(site: Site) -> list[Line]:
    """Memory and time by the length of a history; memory by the length of windows."""
    long, short = (_written(site, site.scaled(n, N_UNITS)) for n in (N_LONG, N_SHORT))
    n_long = pyarrow.parquet.read_metadata(long).num_rows
    whole, part = (_fitted(site, path, WINDOW) for path in (long, short))
    wide, narrow = (_fitted(site, short, T) for T in (LONG_WINDOW, SHORT_WINDOW))
    return [
        _peak(n_long, whole, short_peak_bytes=part["peak_bytes"]),
        Line(
            name=f"history, windows of {LONG_WINDOW}, peak memory",
            unit="GiB",
            ours=[wide["peak_bytes"] / GIB],
            theirs=[narrow["peak_bytes"] / GIB],
            against=f"windows of {SHORT_WINDOW}",
            goals=(Goal("ratio", "<=", 1.1),),
        ),
    ]


def run_50(site: Site) -> list[Line]:
    """Memory and time of 50 million readings. Writing the file takes a minute itself."""
    path = _written(site, site.scaled(N_LONGEST, N_UNITS))
    n_readings = pyarrow.parquet.read_metadata(path).num_rows
    fitted = _fitted(site, path, WINDOW)
    # Right after, while the file is as much in the system's cache as it was for the fit.
    began_s = time.perf_counter()
    with pyarrow.parquet.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass
    read_s = time.perf_counter() - began_s
    return [
        _peak(n_readings, fitted),
        Line(
            name=f"history of {n_readings:,} readings, fit",
            unit="s",
            ours=[fitted["took_s"]],
            theirs=[read_s],
            against="reading the file once",
        ),
    ]


def _peak(n_readings: int, fitted: dict[str, Any], **detail: float) -> Line:
    return Line(
        name=f"history of {n_readings:,} readings, peak memory",
        unit="GiB",
        ours=[fitted["peak_bytes"] / GIB],
        theirs=[4 * n_readings * len(SENSORS) / GIB],
        against="its values",
        goals=(Goal("ours", "<=", 2.0),),
        detail={"took_s": fitted["took_s"], **detail},
    )


def write(path: Path, n_readings: int, n_units: int = N_UNITS) -> None:
    """Write so many readings to Parquet, in the order of time, the units in turn."""
    names = pa.array([unit_name(unit) for unit in range(n_units)])
    columns = {name: pa.float64() for name in SENSORS}
    schema = pa.schema([("time", pa.float64()), ("unit", pa.string()), *columns.items()])
    n_steps = n_readings // n_units
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for begin in range(0, n_steps, GROUP_STEPS):
            step_T = np.arange(begin, min(begin + GROUP_STEPS, n_steps))
            values_NF = series(len(step_T), n_units, seed=begin).reshape(-1, len(SENSORS))
            unit_N = np.tile(np.arange(n_units), len(step_T))
            time_s_N = np.repeat(BEGIN_S + STEP_S * step_T, n_units)
            arrays = [pa.array(time_s_N), names.take(pa.array(unit_N)), *values_NF.T]
            writer.write_table(pa.table(arrays, schema=schema))


def _written(site: Site, n_readings: int) -> Path:
    path = site.folder / f"history-{n_readings}.parquet"
    if not path.exists():
        write(path, n_readings)
    return path


def _fitted(site: Site, history: Path, window: int) -> dict[str, Any]:
    out = site.folder / f"{history.stem}-{window}"
    return child.run("history", history=history, out=out, window=window, steps=STEPS)


def main() -> None:
    """Fit on a file and print what that took."""
    given = child.options("history", "out", "window", "steps")
    overrides: dict[str, object] = {"device": "cpu"}
    overrides |= {"window": given.window, "steps": given.steps}
    began_s = time.perf_counter()
    fit_file(
        Path(given.history), Path(given.out), AE, overrides, [], None, os.environ, ALONE
    )
    took_s = time.perf_counter() - began_s
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_bytes": peak_bytes, "took_s": took_s}))


if __name__ == "__main__":
    main()
