"""A table to a file and back: `trainer compress` and `trainer decompress`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import table_file
from pipeline.errors import InputError
from tests.trainer.compress.conftest import Both
from tests.trainer.compress.waves import SENSORS, detector_of_waves, waves
from tests.trainer.reporting import START_S, OnDisk, write_table
from trainer.compress import source
from trainer.compress.compress import compress_file, parsed_error
from trainer.compress.decompress import decompress_file

Through = Callable[[Path, Path, float], Both]
OfWaves = Callable[[str], OnDisk]


def assert_restored(back: pa.Table, data: pa.Table, max_error: float) -> None:
    assert back.column_names == data.column_names
    assert len(back) == len(data)
    for name in data.column_names:
        was_N, is_N = data.column(name), back.column(name)
        if name == "time":
            time_s_N = is_N.cast(pa.int64()).to_numpy() / 1e6
            np.testing.assert_array_equal(time_s_N, was_N.to_numpy())
        elif name in ("unit", "label"):
            assert is_N.to_pylist() == was_N.to_pylist()
        else:
            was = was_N.to_numpy().astype(np.float32).astype(np.float64)
            error_N = np.abs(is_N.to_numpy() - was)
            assert np.isnan(error_N).tolist() == np.isnan(was).tolist()
            bound = max_error * (np.nanmax(was) - np.nanmin(was))
            assert np.nanmax(error_N) <= bound


@pytest.mark.parametrize("model", ["ensemble", "ae", "vae", "conv", "gru"])
def test_every_value_comes_back_within_the_bound_by_a_network_that_pays(
    model: str, of_waves: OfWaves, wave_table: Path, through_both: Through
) -> None:
    both = through_both(of_waves(model).folder, wave_table, 0.005)

    compressed = both.compressed
    assert compressed.uses_network
    assert compressed.n_bytes == compressed.network_bytes
    assert compressed.n_bytes < compressed.plain_bytes
    assert 0.0 < compressed.largest_error <= 0.005
    assert both.restored.n_changed == 0
    assert_restored(both.table, pyarrow.parquet.read_table(wave_table), 0.005)


def test_units_with_scalers_of_their_own_are_foretold_by_these(
    tmp_path: Path, wave_table: Path, through_both: Through
) -> None:
    detector = detector_of_waves(tmp_path / "own", "ae", scaling="per-unit")
    names = {"a": "unit-1", "b": "new"}
    data = pyarrow.parquet.read_table(wave_table)
    units = pa.array([names[unit] for unit in data.column("unit").to_pylist()])
    renamed = data.set_column(1, "unit", units)
    pyarrow.parquet.write_table(renamed, tmp_path / "renamed.parquet")

    both = through_both(detector.folder, tmp_path / "renamed.parquet", 0.005)

    assert both.compressed.uses_network
    assert_restored(both.table, renamed, 0.005)


def test_the_plain_way_is_used_where_it_is_smaller(
    detector: OnDisk, tmp_path: Path, through_both: Through
) -> None:
    data = write_table(tmp_path / "d.parquet", detector.sensors, {"a": waves(500)[:, :3]})

    both = through_both(detector.folder, data, 0.005)

    assert not both.compressed.uses_network
    assert both.compressed.n_bytes == both.compressed.plain_bytes
    assert_restored(both.table, pyarrow.parquet.read_table(data), 0.005)


def hostile_table(path: Path, sensors: tuple[str, ...]) -> pa.Table:
    """Interleaved units, one of them short; gaps, late rows, labels, other columns."""
    random = np.random.default_rng(0)
    n = 700
    unit_N = random.choice(["a", "b", "c"], size=n, p=[0.6, 0.39, 0.01])
    columns: dict[str, object] = {
        "extra": np.where(random.random(n) < 0.2, np.nan, 1e30 * random.random(n)),
        "label": random.integers(0, 2, n),
    }
    values_NF = waves(n)
    values_NF[random.random(values_NF.shape) < 0.1] = np.nan
    values_NF[100:400, 0] = np.nan
    for f, sensor in enumerate(sensors):
        columns[sensor] = values_NF[:, f]
    columns["time"] = np.round(START_S + 100 * random.random(n), 6)
    columns["unit"] = unit_N
    columns["still"] = np.full(n, -3.25)
    columns["nothing"] = np.full(n, np.nan)
    columns["high"] = 1e7 + random.random(n)
    table = pa.table(columns)
    pyarrow.parquet.write_table(table, path)
    return table


@pytest.mark.parametrize("block_rows", [13, 64, 10_000])
def test_times_order_units_labels_gaps_and_other_columns_come_back(
    block_rows: int,
    of_waves: OfWaves,
    tmp_path: Path,
    through_both: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "MAX_BLOCK_ROWS", block_rows)
    monkeypatch.setattr(table_file, "PIECE_ROWS", 100)
    data = hostile_table(tmp_path / "hostile.parquet", SENSORS)

    both = through_both(of_waves("ae").folder, tmp_path / "hostile.parquet", 0.02)

    nothing = both.table.column("nothing")
    assert nothing.null_count == len(nothing)
    names = [name for name in data.column_names if name != "nothing"]
    assert_restored(both.table.select(names), data.select(names), 0.02)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 10**15),
            st.sampled_from(["a", "b"]),
            st.floats(width=32, allow_infinity=False),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_table_comes_back(
    rows: list[tuple[int, str, float]],
    of_waves: OfWaves,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    values_N = [value for _, _, value in rows] + [0.5] * 8
    columns: dict[str, object] = {
        "time": [us / 1e6 for us, _, _ in rows] + [1.0] * 8,
        "unit": [unit for _, unit, _ in rows] + ["a"] * 8,
    }
    columns |= {sensor: pa.array(values_N, pa.float32()) for sensor in SENSORS}
    data = pa.table(columns)
    pyarrow.parquet.write_table(data, folder / "d.parquet")

    compress_file(of_waves("ae").folder, folder / "d.parquet", folder / "s", 0.01, "cpu")
    decompress_file(folder / "s", folder / "back.parquet", "cpu")

    assert_restored(pyarrow.parquet.read_table(folder / "back.parquet"), data, 0.01)


def test_a_csv_comes_back_and_its_columns_of_text_are_left_out(
    of_waves: OfWaves, tmp_path: Path, through_both: Through
) -> None:
    data = write_table(tmp_path / "d.parquet", SENSORS, {"a": waves(60)}, labelled=None)
    rows = pyarrow.parquet.read_table(data)
    path = tmp_path / "d.csv"
    pyarrow.csv.write_csv(rows.append_column("note", pa.array(["ok"] * 60)), path)

    both = through_both(of_waves("ae").folder, path, 0.005)

    assert both.compressed.notes == ["column 'note' left out: it is text"]
    assert_restored(both.table, rows, 0.005)


def test_a_table_is_restored_as_csv_too(of_waves: OfWaves, tmp_path: Path) -> None:
    data = write_table(tmp_path / "d.parquet", SENSORS, {"a": waves(60)}, labelled=None)
    compress_file(of_waves("ae").folder, data, tmp_path / "s", 0.005, "cpu")

    decompress_file(tmp_path / "s", tmp_path / "back.csv", "cpu")

    header, *lines = (tmp_path / "back.csv").read_text().splitlines()
    assert header == ",".join(f'"{name}"' for name in ("time", "unit", *SENSORS))
    assert len(lines) == 60


def test_a_file_that_changes_while_it_is_read_is_told(
    of_waves: OfWaves, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "d.parquet", SENSORS, {"a": waves(60)})
    others = write_table(tmp_path / "e.parquet", SENSORS, {"b": waves(60)})

    def replaced(done: float) -> None:
        if others.exists():
            others.replace(data)

    with pytest.raises(InputError, match="changed while it was read"):
        compress_file(of_waves("ae").folder, data, tmp_path / "s", 0.005, "cpu", replaced)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("text", "share"), [("0.5%", 0.005), ("0.005", 0.005), (" 2 % ", 0.02)]
)
def test_a_bound_is_a_share_or_a_percentage(text: str, share: float) -> None:
    assert parsed_error(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "0", "-1%", "nan", "60%", "1", "five"])
def test_other_bounds_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--max-error .*like 0.5% or 0.005"):
        parsed_error(text)
