"""`pipeline score`: a file through the worker's own steps."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline import offline
from pipeline.detector import artifact
from pipeline.errors import InputError
from pipeline.offline import score_file, scored_rows
from pipeline.score import Scorer
from pipeline.table import read_table
from tests import builders

WINDOW = 8


@pytest.fixture
def detector_folder(tmp_path: Path) -> Path:
    detector = builders.quiet_detector(300, WINDOW)
    folder = tmp_path / "detector"
    manifest = builders.manifest(detector)
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    artifact.save(folder, detector, golden_NF, reference_BTF, manifest)
    return folder


def table(values_NF: np.ndarray, units: list[str], times: list[float]) -> pa.Table:
    sensors = dict(zip(builders.SENSORS, values_NF.T, strict=True))
    return pa.table({"time": times, "unit": units, **sensors})


def scored(folder: Path, data: pa.Table, tmp_path: Path) -> list[dict[str, str]]:
    path, out = tmp_path / "data.parquet", tmp_path / "scores.csv"
    pq.write_table(data, path)
    score_file(folder, path, out, "cpu")
    with out.open() as file:
        return list(csv.DictReader(file))


def test_each_row_has_its_line_and_the_first_window_must_be_full(
    detector_folder: Path, tmp_path: Path
) -> None:
    data = table(builders.sensor_series(20), ["a"] * 20, list(range(20)))

    lines = scored(detector_folder, data, tmp_path)

    assert [line["time"] for line in lines[:2]] == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:01Z",
    ]
    assert [line["score"] != "" for line in lines] == [i >= WINDOW - 1 for i in range(20)]
    assert {line["unit"] for line in lines} == {"a"}


def test_scores_are_those_of_the_detector(detector_folder: Path, tmp_path: Path) -> None:
    values_NF = builders.sensor_series(50)
    values_NF[20, 1] = np.nan
    data = table(values_NF, ["a"] * 50, list(range(50)))

    lines = scored(detector_folder, data, tmp_path)

    detector = artifact.load(detector_folder).detector
    expected_B = detector.score_series(values_NF).score_B
    found_B = [float(line["score"]) for line in lines[WINDOW - 1 :]]
    np.testing.assert_allclose(found_B, expected_B, rtol=1e-4)


def test_a_fault_is_anomalous_and_its_sensor_contributes_most(
    detector_folder: Path, tmp_path: Path
) -> None:
    values_NF = builders.sensor_series(100)
    values_NF[50:60, 2] *= 100.0
    data = table(values_NF, ["a"] * 100, list(range(100)))

    lines = scored(detector_folder, data, tmp_path)

    anomalous = [i for i, line in enumerate(lines) if line["is_anomalous"] == "1"]
    assert anomalous[0] in range(50, 56)
    assert anomalous == list(range(anomalous[0], anomalous[-1] + 1))
    shares = {s: float(lines[55][f"contribution_{s}"]) for s in builders.SENSORS}
    assert max(shares, key=lambda s: shares[s]) == builders.SENSORS[2]


def test_units_are_scored_apart_and_in_the_order_of_the_file(
    detector_folder: Path, tmp_path: Path
) -> None:
    values_NF = builders.sensor_series(60)
    mixed = table(np.repeat(values_NF, 2, axis=0), ["a", "b"] * 60, list(np.arange(120.0)))
    alone = table(values_NF, ["a"] * 60, list(np.arange(0.0, 120.0, 2)))

    lines = scored(detector_folder, mixed, tmp_path)

    assert [line["unit"] for line in lines] == ["a", "b"] * 60
    expected = [line["score"] for line in scored(detector_folder, alone, tmp_path)]
    assert [line["score"] for line in lines if line["unit"] == "b"] == expected


def test_a_file_longer_than_one_batch_scores_the_same(
    detector_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table(builders.sensor_series(70), ["a"] * 70, list(range(70)))
    at_once = scored(detector_folder, data, tmp_path)

    monkeypatch.setattr(offline, "CHUNK_ROWS", 16)

    in_chunks = scored(detector_folder, data, tmp_path)
    assert [line["is_anomalous"] for line in in_chunks] == [
        line["is_anomalous"] for line in at_once
    ]
    pairs = zip(in_chunks, at_once, strict=True)
    for found, expected in pairs:
        if expected["score"]:
            assert float(found["score"]) == pytest.approx(float(expected["score"]), 1e-4)


def test_a_table_scores_the_same_whatever_its_scorer_has_seen(
    detector_folder: Path, tmp_path: Path
) -> None:
    faulty_NF = builders.sensor_series(30)
    faulty_NF[-10:] *= 100.0
    path = tmp_path / "data.parquet"
    pq.write_table(table(faulty_NF, ["a"] * 30, list(range(30))), path)
    loaded = artifact.load(detector_folder)
    scorer = Scorer(loaded.detector, torch.device("cpu"))

    first, again = (
        [rows.score_N for rows in scored_rows(loaded, scorer, read_table(path))]
        for _ in range(2)
    )

    np.testing.assert_array_equal(np.concatenate(again), np.concatenate(first))


def test_a_row_out_of_order_has_no_score(detector_folder: Path, tmp_path: Path) -> None:
    times = [float(i) for i in range(30)]
    times[20] = 3.0
    data = table(builders.sensor_series(30), ["a"] * 30, times)

    lines = scored(detector_folder, data, tmp_path)

    assert (lines[20]["score"], lines[20]["is_anomalous"]) == ("", "0")
    assert lines[21]["score"] != ""


def test_after_a_silence_of_more_than_a_week_the_first_window_must_be_full_again(
    detector_folder: Path, tmp_path: Path
) -> None:
    times = [float(i) for i in range(15)] + [8 * 86_400.0 + i for i in range(15)]
    data = table(builders.sensor_series(30), ["a"] * 30, times)

    lines = scored(detector_folder, data, tmp_path)

    is_full = [i >= WINDOW - 1 for i in range(15)]
    assert [line["score"] != "" for line in lines] == is_full + is_full


def test_a_table_without_a_sensor_of_the_detector_is_refused(
    detector_folder: Path, tmp_path: Path
) -> None:
    data = table(builders.sensor_series(30), ["a"] * 30, list(range(30)))

    with pytest.raises(InputError, match=rf"\['{builders.SENSORS[1]}'\] are missing"):
        scored(detector_folder, data.drop([builders.SENSORS[1]]), tmp_path)

    assert not list(tmp_path.glob(".scores.csv*"))
    assert not (tmp_path / "scores.csv").exists()
