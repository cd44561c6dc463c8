"""`trainer embed`: a latent vector for every window of a file."""

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline.detector import artifact
from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.latent import Encoder
from pipeline.window import cut_windows
from tests import builders
from tests.trainer.reporting import START_S, STEP_S, WINDOW, OnDisk, write_table
from tests.trainer.training import Command, quick

N = 100
SERIES = {"a": builders.sensor_series(N, 1), "b": builders.sensor_series(N, 2)}


@pytest.fixture
def data(detector: OnDisk, tmp_path: Path) -> Path:
    return write_table(tmp_path / "data.parquet", detector.sensors, SERIES, range(20))


@pytest.mark.parametrize("families", [*FAMILIES, "vae+dae"])
def test_every_window_has_its_latent_vector_unit_time_and_label(
    families: str, run_trainer: Command, tmp_path: Path
) -> None:
    detector = builders.saved_detector(tmp_path / "pumps", families).detector
    path = write_table(tmp_path / "data.parquet", detector.sensors, SERIES, range(20))
    out = tmp_path / "latent.parquet"

    done = run_trainer("embed", str(tmp_path / "pumps"), str(path), "--out", str(out))

    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table(out)
    n_windows = N - WINDOW + 1
    assert rows["unit"].to_pylist() == ["a"] * n_windows + ["b"] * n_windows
    times_s = [time.timestamp() for time in rows["time"][:n_windows].to_pylist()]
    assert times_s == [START_S + STEP_S * n for n in range(WINDOW - 1, N)]
    assert sum(rows["label"].to_pylist()) == 2 * (20 - WINDOW + 1)
    encoder = Encoder(detector)
    latents = encoder.latents(cut_windows(SERIES["b"], WINDOW))
    found_LB = [rows[f"latent_{i}"][n_windows:].to_numpy() for i in range(encoder.n_latent)]
    np.testing.assert_array_equal(np.stack(found_LB, axis=1), latents.mean_BL)
    has_std = families.split("+")[0] in VARIATIONAL
    assert ("latent_std_0" in rows.column_names) == has_std


def test_a_unit_is_scaled_as_in_training(run_trainer: Command, tmp_path: Path) -> None:
    values_NF = builders.sensor_series(800)
    values_NF[400:] += 1e3
    history = builders.history(values_NF, [400, 400])
    loaded = quick(tmp_path / "fleet", history, scaling="per-unit").loaded
    units = {"unit-0": values_NF[:400], "unit-1": values_NF[400:], "new": values_NF[:400]}
    path = write_table(tmp_path / "data.parquet", history.sensors, units, None)
    out = tmp_path / "latent.csv"

    done = run_trainer("embed", str(tmp_path / "fleet"), str(path), "--out", str(out))

    assert done.returncode == 0, done.stderr
    rows = pyarrow.csv.read_csv(out)
    first = rows["latent_0"].to_numpy().reshape(3, -1)
    own = Encoder(loaded.detector).latents(
        cut_windows(values_NF[400:], 8),
        np.full(393, loaded.detector.scaling.line("unit-1")),
    )
    np.testing.assert_allclose(first[1], own.mean_BL[:, 0], rtol=1e-5)
    assert not np.allclose(first[2], first[0])


def test_the_pieces_of_a_file_are_not_seen_in_what_is_written(
    detector: OnDisk,
    data: Path,
    run_trainer: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = []
    for piece_rows in (17, 10_000):
        monkeypatch.setattr("pipeline.table_file.PIECE_ROWS", piece_rows)
        out = tmp_path / f"{piece_rows}.parquet"
        run_trainer("embed", str(detector.folder), str(data), "--out", str(out))
        written.append(pyarrow.parquet.read_table(out))

    assert written[0].equals(written[1])


@pytest.mark.parametrize("suffix", ["png", "svg"])
@pytest.mark.parametrize("colour", [(), ("--colour", "time"), ("--color", "unit")])
def test_a_picture_is_drawn(
    suffix: str,
    colour: tuple[str, ...],
    detector: OnDisk,
    data: Path,
    run_trainer: Command,
    tmp_path: Path,
) -> None:
    out, plot = tmp_path / "latent.parquet", tmp_path / f"map.{suffix}"

    done = run_trainer(
        *("embed", str(detector.folder), str(data), "--out", str(out)),
        *("--plot", str(plot), *colour),
    )

    assert done.returncode == 0, done.stderr
    assert f"picture written: {plot}" in done.stdout
    assert plot.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--out", "latent.txt"), "expected a name that ends in .parquet or .csv"),
        (("--out", "nowhere/latent.csv"), "nowhere is no writable folder"),
        (
            ("--plot", "map.gif"),
            "--plot map.gif: expected a name that ends in .png or .svg",
        ),
        (("--colour", "red"), "--colour red: expected time, unit, label"),
        (("--out", "{detector}/latent.csv"), "a detector's folder holds nothing but"),
        (("--device", "tpu"), "device 'tpu': expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    change: tuple[str, str],
    message: str,
    detector: OnDisk,
    data: Path,
    run_trainer: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    out = ("--out", "latent.csv")
    given = [each.format(detector=detector.folder) for each in change]

    done = run_trainer("embed", str(detector.folder), str(data), *out, *given)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data.parquet"]


@pytest.mark.parametrize(
    ("sensors", "n_rows", "message"),
    [
        (("x", "y", "z"), N, "expected the detector's 3 sensors"),
        (None, WINDOW - 1, "expected at least 8 readings of a unit"),
    ],
)
def test_data_that_gives_no_vector_leaves_nothing_behind(
    sensors: tuple[str, ...] | None,
    n_rows: int,
    message: str,
    detector: OnDisk,
    run_trainer: Command,
    tmp_path: Path,
) -> None:
    series = {"a": SERIES["a"][:n_rows]}
    path = write_table(tmp_path / "bad.parquet", sensors or detector.sensors, series)
    out, plot = tmp_path / "latent.parquet", tmp_path / "map.png"

    done = run_trainer(
        *("embed", str(detector.folder), str(path)), "--out", str(out), "--plot", str(plot)
    )

    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_labels_that_are_not_there_colour_nothing(
    detector: OnDisk, run_trainer: Command, tmp_path: Path
) -> None:
    path = write_table(tmp_path / "data.parquet", detector.sensors, SERIES, None)

    done = run_trainer(
        *("embed", str(detector.folder), str(path), "--out", str(tmp_path / "x.csv")),
        *("--colour", "label"),
    )

    assert done.returncode == 2
    assert "has no column 'label'" in done.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_detector_is_refused(
    data: Path, run_trainer: Command, tmp_path: Path
) -> None:
    done = run_trainer("embed", str(tmp_path), str(data), "--out", str(tmp_path / "x.csv"))

    assert done.returncode == 2
    assert artifact.MANIFEST in done.stderr
