"""A file of any length, piece by piece through the worker's windows."""

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline import table_file
from pipeline.detector import artifact
from pipeline.errors import InputError
from pipeline.records import FloatArray
from pipeline.window import cut_windows
from tests import builders
from tests.trainer.reporting import WINDOW, OnDisk, write_table
from trainer.data_stream import DataStream, Piece

N = 100
SERIES = {"a": builders.sensor_series(N, 1), "b": builders.sensor_series(N, 2)}


def interleaved(tmp_path: Path, sensors: tuple[str, ...]) -> Path:
    """Two units whose rows take turns."""
    path = write_table(tmp_path / "two.parquet", sensors, SERIES, labelled=range(10))
    rows = table_file.open_table(path).read()
    taken = np.arange(2 * N).reshape(2, N).T.ravel()
    pyarrow.parquet.write_table(rows.take(taken), path)
    return path


def windows_of(pieces: list[Piece], unit: int) -> FloatArray:
    return np.concatenate(
        [
            piece.windows.windows.gather(np.flatnonzero(piece.windows.row_B == unit))
            for piece in pieces
        ]
    )


@pytest.mark.parametrize("piece_rows", [3, 64, 1_000])
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_windows_are_those_of_each_unit_however_the_file_is_cut(
    piece_rows: int,
    suffix: str,
    detector: OnDisk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_file, "PIECE_ROWS", piece_rows)
    path = interleaved(tmp_path, detector.sensors)
    if suffix == ".csv":
        rows = table_file.open_table(path).read()
        path = path.with_suffix(suffix)
        pyarrow.csv.write_csv(rows, path)
    stream = DataStream(path, artifact.load(detector.folder))

    pieces = list(stream.pieces())

    assert stream.units == ["a", "b"]
    assert sum(len(piece.readings) for piece in pieces) == stream.n_rows == 2 * N
    for number, values_NF in enumerate(SERIES.values()):
        expected_BTF = cut_windows(values_NF, WINDOW).gather(slice(None))
        np.testing.assert_array_equal(windows_of(pieces, number), expected_BTF)


def test_late_rows_are_in_no_window_and_told(detector: OnDisk, tmp_path: Path) -> None:
    times_s = [1e9 + n for n in range(N)]
    times_s[50] = 1e9
    path = write_table(
        tmp_path / "late.parquet", detector.sensors, {"a": SERIES["a"]}, times_s=times_s
    )
    stream = DataStream(path, artifact.load(detector.folder))

    n_windows = sum(len(piece.windows) for piece in stream.pieces())

    assert n_windows == N - 1 - (WINDOW - 1)
    assert stream.notes == ["1 rows were late: older than one of their unit before"]


def test_numbers_among_which_is_text_are_read_all_the_same(
    detector: OnDisk, tmp_path: Path
) -> None:
    sensors = detector.sensors
    path = tmp_path / "text.csv"
    lines = [",".join(["time", *(f'"{s}"' for s in sensors)])]
    lines += [f"{1e9 + n},{n},{'bad' if n == 40 else n},{n}" for n in range(N)]
    path.write_text("\n".join(lines))
    stream = DataStream(path, artifact.load(detector.folder))

    [piece] = list(stream.pieces())

    assert np.isnan(piece.readings.values_NF).sum() == 1
    assert stream.notes == [f"column {sensors[1]!r}: 1 values are no numbers: missing"]


@pytest.mark.parametrize(
    ("values_NF", "message"),
    [
        (SERIES["a"][: WINDOW - 1], "expected at least 8 readings of a unit .* has 7"),
        (np.full((N, 3), np.nan, np.float32), "none of the detector's sensors has a value"),
    ],
)
def test_what_gives_no_window_is_refused(
    values_NF: FloatArray, message: str, detector: OnDisk, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "bad.parquet", detector.sensors, {"a": values_NF})

    with pytest.raises(InputError, match=message):
        list(DataStream(path, artifact.load(detector.folder)).pieces())


def test_a_sensor_that_is_nothing_but_text_is_refused(
    detector: OnDisk, tmp_path: Path
) -> None:
    sensors = detector.sensors
    path = tmp_path / "commas.csv"
    lines = [",".join(["time", *(f'"{s}"' for s in sensors)])]
    lines += [f'{1e9 + n},{n},"{n},5",{n}' for n in range(N)]
    path.write_text("\n".join(lines))

    with pytest.raises(InputError, match=rf"nothing but text in {sensors[1]}"):
        list(DataStream(path, artifact.load(detector.folder)).pieces())


def test_a_file_without_the_detectors_sensors_is_refused(
    detector: OnDisk, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "other.parquet", ("x", "y", "z"), {"a": SERIES["a"]})

    with pytest.raises(InputError, match=r"expected the detector's 3 sensors.*file has"):
        DataStream(path, artifact.load(detector.folder))
