"""Small histories on disk, and searches of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.records import FloatArray
from tests import builders

QUICK = ("--set", "steps=20", "--device", "cpu")
SMALL = ("--window", "8", "--model", "ae", *QUICK)
"""Two settings are left to search, and a trial takes no time."""


def write_history(
    path: Path,
    values_NF: FloatArray | None = None,
    labelled: Sequence[int] | None = None,
) -> Path:
    """A CSV of one unit, with a column `label` if any row is labelled."""
    values_NF = builders.sensor_series(600) if values_NF is None else values_NF
    lines = ["time,a,b,c" + (",label" if labelled is not None else "")]
    for row, values in enumerate(values_NF.tolist()):
        cells = [str(1_700_000_000 + 60 * row), *(f"{value:.6g}" for value in values)]
        if labelled is not None:
            cells.append(str(int(row in set(labelled))))
        lines.append(",".join(cells))
    path.write_text("\n".join([*lines, ""]))
    return path


def with_faults(values_NF: FloatArray, rows: Sequence[int]) -> FloatArray:
    """The first sensor far off in these rows."""
    changed_NF = values_NF.copy()
    changed_NF[list(rows), 0] += 10 * np.std(values_NF[:, 0])
    return changed_NF


def values_of(study: Path) -> list[object]:
    """The criterion of each trial that a journal says is complete, in its order."""
    entries = [json.loads(line) for line in study.read_text().splitlines()]
    return [e["values"] for e in entries if e["op_code"] == 6 and e.get("values")]
