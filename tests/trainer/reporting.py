"""Tables, alerts and pages, as the tests of `report` and `evaluate` need them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet

from pipeline.records import FloatArray
from pipeline.times import iso_time
from tests import builders
from trainer.evaluate import Evaluation

HOSTILE = "<script>alert('x')</script>\"&$\\frac{"
HOSTILE_SENSOR = "<script>alert('x')</script>&$x_{"
WINDOW = 8
STEP_S = 60.0
START_S = 1_700_000_000.0
N_READINGS = 600
FAULT = range(300, 330)


@dataclass(frozen=True)
class OnDisk:
    folder: Path
    digest: str
    sensors: tuple[str, ...]


def series_with_fault(seed: int = 1, n_readings: int = N_READINGS) -> FloatArray:
    values_NF = builders.sensor_series(n_readings, seed)
    values_NF[FAULT.start : FAULT.stop] *= -3.0
    return values_NF


def write_table(
    path: Path,
    sensors: Sequence[str],
    values_by_unit: dict[str, FloatArray],
    labelled: Sequence[int] | None = FAULT,
    times_s: Sequence[float] | None = None,
) -> Path:
    """A table of units, each with readings at `times_s`, by default a minute apart.

    `labelled` are positions in each unit.
    """
    columns: dict[str, list[object]] = {"time": [], "unit": []}
    columns |= {name: [] for name in sensors}
    if labelled is not None:
        columns["label"] = []
    for unit, values_NF in values_by_unit.items():
        steps_s = [STEP_S * n for n in range(len(values_NF))]
        columns["time"] += [START_S + s for s in times_s or steps_s]
        columns["unit"] += [unit] * len(values_NF)
        for f, name in enumerate(sensors):
            columns[name] += values_NF[:, f].tolist()
        if labelled is not None:
            columns["label"] += [int(n in labelled) for n in range(len(values_NF))]
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def alert_line(
    digest: str,
    opened: int,
    closed: int | None,
    unit: str = "pump-7",
    sensor: str = "sensor-0",
) -> str:
    """The last alert of an incident from reading `opened` to `closed`."""
    state = "opened" if closed is None else "closed"
    at = [iso_time(START_S + STEP_S * n) for n in (opened, closed or opened)]
    return json.dumps(
        {
            "schema": "alert/1",
            "incident_id": f"{unit}-{opened}",
            "state": state,
            "unit": unit,
            "opened_at": at[0],
            "time": at[1],
            "closed_at": None if closed is None else at[1],
            "score": 1.5,
            "peak_score": 1.5,
            "severity": "warning",
            "sensors": [
                {"name": sensor, "contribution": 1.0, "observed": None, "expected": 2.0}
            ],
            "detector": {"name": "pumps", "digest": digest},
            "source": {"topic": "r", "partition": 0, "first_offset": 0, "last_offset": 1},
        }
    )


class Page(HTMLParser):
    """A page's tags with their attributes, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


Reported: TypeAlias = Callable[..., Page]
Evaluated: TypeAlias = Callable[..., Evaluation]
