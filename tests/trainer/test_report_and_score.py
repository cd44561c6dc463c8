"""`trainer report` and `pipeline score` see the same in a file."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import trainer.review
from pipeline.detector.artifact import load
from pipeline.offline import score_file
from pipeline.records import IntArray
from pipeline.score import Scorer, choose_device
from pipeline.table import read_table
from pipeline.times import parse_iso_s
from pipeline.window import UNIT_IDLE_S
from tests.trainer.reporting import (
    FAULT,
    N_READINGS,
    START_S,
    WINDOW,
    OnDisk,
    series_with_fault,
    write_table,
)
from trainer.report import Report, review

UNITS = ("pump-7", "pump-8", "pump-9")


def in_order(n_rows: int) -> IntArray:
    return np.arange(n_rows)


def with_late_rows(n_rows: int) -> IntArray:
    """Some rows come up to 200 places after their turn, within a fault as well."""
    random = np.random.default_rng(0)
    place_N = np.arange(n_rows).astype(np.float64)
    late = random.choice(n_rows, n_rows // 20, replace=False)
    place_N[late] += random.integers(3, 200, len(late))
    return np.argsort(place_N, kind="stable")


def newest_first_in_the_middle(n_rows: int) -> IntArray:
    order_N = np.arange(n_rows)
    order_N[n_rows // 3 : n_rows // 2] = order_N[n_rows // 3 : n_rows // 2][::-1]
    return order_N


def written(
    path: Path, sensors: tuple[str, ...], order_N: IntArray, silent_before: int = N_READINGS
) -> Path:
    """Units that take turns, each with a fault, their rows in this order.

    All are silent for long before that row of each.
    """
    values_NF = np.stack([series_with_fault(u) for u in range(len(UNITS))], axis=1)
    values_NF = values_NF.reshape(-1, len(sensors))[order_N]
    number_N = order_N // len(UNITS)
    table = {
        "time": START_S + 60.0 * number_N + 2 * UNIT_IDLE_S * (number_N >= silent_before),
        "unit": [UNITS[u] for u in order_N % len(UNITS)],
        **dict(zip(sensors, values_NF.T, strict=True)),
    }
    pyarrow.parquet.write_table(pa.table(table), path)
    return path


def reviewed(detector: OnDisk, data: Path) -> Report:
    loaded = load(detector.folder)
    scorer = Scorer(loaded.detector, choose_device("cpu"))
    return review(data, read_table(data), loaded, scorer)


def scored_lines(detector: OnDisk, data: Path) -> list[dict[str, str]]:
    out = data.with_suffix(".csv")
    score_file(detector.folder, data, out, "cpu")
    with out.open(newline="") as file:
        return [line for line in csv.DictReader(file) if line["score"]]


def opened(lines: list[dict[str, str]]) -> list[tuple[str, float]]:
    """Where in the CSV a unit's incident begins: unit and time."""
    begins = []
    was_open = dict.fromkeys(UNITS, "0")
    for line in lines:
        if line["is_anomalous"] == "1" and was_open[line["unit"]] == "0":
            begins.append((line["unit"], parse_iso_s(line["time"])))
        was_open[line["unit"]] = line["is_anomalous"]
    return sorted(begins)


@pytest.mark.parametrize("chunk_rows", [37, 2**14])
@pytest.mark.parametrize("order", [in_order, with_late_rows, newest_first_in_the_middle])
def test_they_score_the_same_rows_and_open_the_same_incidents(
    order: Callable[[int], IntArray],
    chunk_rows: int,
    detector: OnDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order_N = order(N_READINGS * len(UNITS))
    data = written(tmp_path / "data.parquet", detector.sensors, order_N)
    lines = scored_lines(detector, data)
    monkeypatch.setattr(trainer.review, "MAX_CHUNK_ROWS", chunk_rows)

    report = reviewed(detector, data)

    assert report.n_scored == len(lines)
    begins = sorted((i.span.unit, i.span.begin_s) for i in report.incidents)
    assert begins == opened(lines)
    assert {unit for unit, _ in begins} == set(UNITS)


@pytest.mark.parametrize("chunk_rows", [37, 2**14])
@pytest.mark.parametrize(
    "silent_before", [FAULT.start - 1, FAULT.start + WINDOW, FAULT.stop]
)
def test_both_let_units_start_anew_after_a_long_silence(
    silent_before: int,
    chunk_rows: int,
    detector: OnDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order_N = with_late_rows(N_READINGS * len(UNITS))
    data = written(tmp_path / "data.parquet", detector.sensors, order_N, silent_before)
    lines = scored_lines(detector, data)
    monkeypatch.setattr(trainer.review, "MAX_CHUNK_ROWS", chunk_rows)

    report = reviewed(detector, data)

    assert report.n_scored == len(lines)
    begins = sorted((i.span.unit, i.span.begin_s) for i in report.incidents)
    assert begins == opened(lines)
    for unit in report.units:
        highest = max(float(line["score"]) for line in lines if line["unit"] == unit.unit)
        drawn = np.nanmax(unit.curves.score.high_KC)
        assert drawn == pytest.approx(highest, rel=1e-4)


def test_the_highest_score_of_a_unit_is_the_same(detector: OnDisk, tmp_path: Path) -> None:
    order_N = with_late_rows(N_READINGS * len(UNITS))
    data = written(tmp_path / "data.parquet", detector.sensors, order_N)
    lines = scored_lines(detector, data)

    report = reviewed(detector, data)

    for unit in report.units:
        highest = max(float(line["score"]) for line in lines if line["unit"] == unit.unit)
        drawn = np.nanmax(unit.curves.score.high_KC)
        assert drawn == pytest.approx(highest, rel=1e-4)


def test_what_is_looked_at_from_near_has_scores_from_its_begin(
    detector: OnDisk, tmp_path: Path
) -> None:
    data = written(tmp_path / "data.parquet", detector.sensors, in_order(N_READINGS * 3))

    report = reviewed(detector, data)

    assert report.zooms
    assert all(np.isfinite(zoom.curves.score.high_KC[0]).all() for zoom in report.zooms)


def test_unit_days_are_those_of_scored_readings_without_a_label(
    detector: OnDisk, tmp_path: Path
) -> None:
    values_NF = series_with_fault()
    days = []
    for unit, step_s in (("slow", 600.0), ("fast", 10.0), ("three at a time", 60.0)):
        place_N = np.arange(N_READINGS)
        if unit == "three at a time":
            place_N = place_N // 3
        is_counted_N = (place_N >= place_N[WINDOW - 1]) & (
            (place_N < place_N[FAULT.start]) | (place_N >= place_N[FAULT.stop])
        )
        n_steps = len(set(place_N[is_counted_N].tolist())) - 1
        # Over the fault, one step of at most five counts.
        days.append((n_steps - 1 + 5) * step_s / 86_400)
        path = write_table(
            tmp_path / f"{unit}.parquet",
            detector.sensors,
            {unit: values_NF},
            times_s=(step_s * place_N).tolist(),
        )
        assert reviewed(detector, path).unit_days == pytest.approx(days[-1])
    tables = [pyarrow.parquet.read_table(path) for path in sorted(tmp_path.iterdir())]
    together = tmp_path / "together.parquet"
    pyarrow.parquet.write_table(pa.concat_tables(tables), together)

    assert reviewed(detector, together).unit_days == pytest.approx(sum(days))
