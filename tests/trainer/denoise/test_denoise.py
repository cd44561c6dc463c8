"""`trainer denoise`: what is in the file that it writes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline import table_file
from pipeline.records import FloatArray
from tests import builders
from tests.trainer.reporting import START_S, STEP_S, WINDOW, OnDisk, write_table
from tests.trainer.training import Command, quick

N = 400
NOISE = 0.5
"""In standard deviations of each sensor."""
STD_F = builders.sensor_series(1_500).std(axis=0)


def noisy(seed: int = 1, n: int = N) -> tuple[FloatArray, FloatArray]:
    """A series, and the same with noise."""
    clean_NF = builders.sensor_series(n, seed)
    noise_NF = np.random.default_rng(seed).normal(size=clean_NF.shape)
    return clean_NF, (clean_NF + NOISE * STD_F * noise_NF).astype(np.float32)


def values(path: Path, sensors: tuple[str, ...], unit: str | None = None) -> FloatArray:
    table = table_file.open_table(path).read()
    rows = np.arange(len(table))
    if unit is not None:
        rows = np.flatnonzero([name == unit for name in table["unit"].to_pylist()])
    return np.stack([table[s].to_numpy()[rows] for s in sensors], axis=1)


def error(values_NF: FloatArray, clean_NF: FloatArray) -> float:
    """RMSE in standard deviations."""
    return float(np.sqrt(np.square((values_NF - clean_NF) / STD_F).mean()))


def denoised(run_trainer: Command, folder: Path, data: Path, *options: str) -> Path:
    """What the command writes beside `data`."""
    out = data.with_name("clean.parquet")
    ended = run_trainer("denoise", str(folder), str(data), "--out", str(out), *options)
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.mark.parametrize("model", ["ensemble", "ae", "vae", "conv", "gru"])
def test_readings_come_nearer_to_the_signal(
    model: str, tmp_path: Path, run_trainer: Command
) -> None:
    history = builders.history(builders.sensor_series(600))
    quick(tmp_path / "pumps", history, model, corrupt="noise:1", steps=60)
    clean_NF, noisy_NF = noisy()
    data = write_table(tmp_path / "in.parquet", history.sensors, {"a": noisy_NF}, None)

    out = denoised(run_trainer, tmp_path / "pumps", data)

    assert error(values(out, history.sensors), clean_NF) < 0.8 * error(noisy_NF, clean_NF)


def test_units_with_scalers_of_their_own_are_written_in_their_own_units(
    tmp_path: Path, run_trainer: Command
) -> None:
    level = 1_000.0
    both_NF = np.concatenate(
        [builders.sensor_series(400), builders.sensor_series(400) + level]
    )
    history = builders.history(both_NF, [400, 400])
    quick(tmp_path / "pumps", history, scaling="per-unit", corrupt="noise:1", steps=60)
    clean_NF, noisy_NF = noisy()
    series = {"unit-1": noisy_NF + np.float32(level), "unit-0": noisy_NF}
    data = write_table(tmp_path / "in.parquet", history.sensors, series, None)

    out = denoised(run_trainer, tmp_path / "pumps", data)

    for unit, shift in (("unit-0", 0.0), ("unit-1", level)):
        found_NF = values(out, history.sensors, unit) - shift
        assert error(found_NF, clean_NF) < 0.8 * error(noisy_NF, clean_NF)


def test_readings_no_noisier_than_the_history_are_left_as_they_are(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    clean_NF, _ = noisy(seed=0)
    data = write_table(tmp_path / "in.parquet", detector.sensors, {"a": clean_NF}, None)

    out = denoised(run_trainer, detector.folder, data)

    assert error(values(out, detector.sensors), clean_NF) < 0.02


def test_how_noisy_they_are_may_be_told(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    clean_NF, noisy_NF = noisy()
    data = write_table(tmp_path / "in.parquet", detector.sensors, {"a": noisy_NF}, None)

    as_they_were = denoised(run_trainer, detector.folder, data, "--noise", "0")
    np.testing.assert_allclose(values(as_they_were, detector.sensors), noisy_NF, rtol=1e-3)

    out = denoised(run_trainer, detector.folder, data, "--noise", str(NOISE))
    assert error(values(out, detector.sensors), clean_NF) < 0.7 * error(noisy_NF, clean_NF)


def test_every_row_is_there_with_its_time_unit_and_label_and_gaps_are_filled(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    _, noisy_NF = noisy()
    gappy_NF = noisy_NF.copy()
    gappy_NF[50:60, 1] = np.nan
    data = write_table(
        tmp_path / "in.parquet", detector.sensors, {"a": gappy_NF, "b": noisy_NF}, [7]
    )

    table = table_file.open_table(denoised(run_trainer, detector.folder, data)).read()

    given = table_file.open_table(data).read()
    at = table["time"].cast(pa.int64()).to_numpy() / 1e6
    rows = zip(table["unit"].to_pylist(), at, table["label"].to_pylist(), strict=True)
    wanted = zip(
        *(given[name].to_pylist() for name in ("unit", "time", "label")), strict=True
    )
    assert sorted(rows) == sorted(wanted)
    assert not np.isnan(np.stack([table[s].to_numpy() for s in detector.sensors])).any()


@pytest.mark.parametrize("piece_rows", [1, 7, 100])
def test_a_file_cut_in_pieces_comes_out_the_same(
    piece_rows: int,
    detector: OnDisk,
    tmp_path: Path,
    run_trainer: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    series = {unit: noisy(seed, 90)[1] for seed, unit in enumerate("abc", start=1)}
    data = write_table(tmp_path / "in.parquet", detector.sensors, series, None)
    rows = table_file.open_table(data).read()
    taken = np.arange(3 * 90).reshape(3, 90).T.ravel()
    pyarrow.parquet.write_table(rows.take(taken), data)
    whole = denoised(run_trainer, detector.folder, data).rename(tmp_path / "whole.parquet")
    monkeypatch.setattr(table_file, "PIECE_ROWS", piece_rows)

    out = denoised(run_trainer, detector.folder, data)

    for unit in series:
        np.testing.assert_allclose(
            values(out, detector.sensors, unit),
            values(whole, detector.sensors, unit),
            rtol=1e-4,
        )


def test_units_shorter_than_a_window_stay_as_they_are_and_are_told(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    _, noisy_NF = noisy()
    series = {"a": noisy_NF, "short": noisy_NF[: WINDOW - 1]}
    data = write_table(tmp_path / "in.parquet", detector.sensors, series, None)
    out = tmp_path / "clean.csv"

    ended = run_trainer("denoise", str(detector.folder), str(data), "--out", str(out))

    assert "7 rows of units shorter than a window stay as they were" in ended.stdout
    np.testing.assert_allclose(
        values(out, detector.sensors, "short"), series["short"], rtol=1e-6
    )


def test_late_rows_are_left_out_and_told(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    times_s = [START_S + STEP_S * n for n in range(N)]
    times_s[50] = START_S
    data = write_table(
        tmp_path / "in.parquet", detector.sensors, {"a": noisy()[1]}, None, times_s
    )
    out = tmp_path / "clean.parquet"

    ended = run_trainer("denoise", str(detector.folder), str(data), "--out", str(out))

    assert "1 rows were late" in ended.stdout
    assert len(values(out, detector.sensors)) == N - 1


@pytest.mark.parametrize(
    ("sensors", "values_NF", "options", "message"),
    [
        (("x", "y", "z"), builders.sensor_series(N), (), "expected the detector's"),
        (None, builders.sensor_series(WINDOW - 1), (), "at least 8 readings of a unit"),
        (None, np.full((N, 3), np.nan, np.float32), (), "none of the detector's sensors"),
        (None, builders.sensor_series(N), ("--noise", "-1"), "--noise -1.0: expected"),
        (None, builders.sensor_series(N), ("--noise", "nan"), "--noise nan: expected"),
        (None, builders.sensor_series(N), ("--device", "tpu"), "device 'tpu'"),
    ],
)
def test_what_cannot_be_denoised_is_one_line_and_leaves_no_file(
    sensors: tuple[str, ...] | None,
    values_NF: FloatArray,
    options: tuple[str, ...],
    message: str,
    detector: OnDisk,
    tmp_path: Path,
    run_trainer: Command,
) -> None:
    data = write_table(
        tmp_path / "in.parquet", sensors or detector.sensors, {"a": values_NF}, None
    )
    out = tmp_path / "clean.parquet"

    ended = run_trainer(
        "denoise", str(detector.folder), str(data), "--out", str(out), *options
    )

    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("clean.txt", "expected a name that ends in .parquet or .csv"),
        ("nowhere/clean.csv", "is no writable folder"),
        ("in.parquet", "it would replace what it is made from"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_any_work(
    out: str, message: str, detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    data = write_table(tmp_path / "in.parquet", detector.sensors, {"a": noisy()[1]}, None)

    ended = run_trainer(
        "denoise", str(detector.folder), str(data), "--out", str(tmp_path / out)
    )

    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_no_detector_and_no_file_are_one_line(
    detector: OnDisk, tmp_path: Path, run_trainer: Command
) -> None:
    data = write_table(tmp_path / "in.parquet", detector.sensors, {"a": noisy()[1]}, None)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"no table")
    out = str(tmp_path / "clean.parquet")

    for folder, file in ((tmp_path, data), (detector.folder, bad)):
        ended = run_trainer("denoise", str(folder), str(file), "--out", out)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
