"""`trainer sample`, from its command line to a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.offline import score_file
from pipeline.records import FloatArray
from pipeline.table import Table, read_table
from tests import builders
from tests.trainer.synthetic.conftest import T, kept, scaling_per_unit
from tests.trainer.training import Command, quick
from trainer.synthetic.draws import Draws
from trainer.synthetic.rows import window_rows

Sampled = Callable[..., Table]


@pytest.fixture
def sampled(folder: Path, run_trainer: Command, tmp_path: Path) -> Sampled:
    """Runs the command and reads what it wrote."""

    def run(*options: str, detector: Path = folder, suffix: str = ".parquet") -> Table:
        out = tmp_path / f"synthetic{suffix}"
        ended = run_trainer("sample", str(detector), "--out", str(out), *options)
        assert (ended.returncode, ended.stderr) == (0, "")
        return read_table(out)

    return run


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_each_window_is_a_unit(suffix: str, sampled: Sampled) -> None:
    table = sampled("-n", "30", suffix=suffix)

    assert len(table) == 30 * T
    assert table.units[:2] == ("window-1", "window-2")
    assert table.sensors == builders.SENSORS
    assert table.label_N is not None
    assert not table.label_N.any()
    np.testing.assert_array_equal(np.bincount(table.unit_N), np.full(30, T))


def test_series_go_on_row_by_row_in_as_many_units(sampled: Sampled) -> None:
    table = sampled("-n", "1001", "--continuous", "--units", "3", "--step", "5min")

    assert len(table) == 1_001
    assert table.units == ("unit-1", "unit-2", "unit-3")
    assert set(np.diff(table.time_s_N[table.unit_N == 0])) == {300.0}
    assert (np.diff(table.time_s_N) >= 0).all()


def test_readings_are_in_the_sensors_own_units(sampled: Sampled) -> None:
    table = sampled("-n", "200")
    expected_F = builders.sensor_series(500).mean(axis=0)

    np.testing.assert_allclose(table.values_NF.mean(axis=0), expected_F, rtol=0.2)


def test_units_have_the_names_and_scalers_of_trained_units_in_turn(
    sampled: Sampled, tmp_path: Path
) -> None:
    detector = kept(tmp_path / "two", per_unit=True)

    table = sampled("-n", "600", "--continuous", "--units", "3", detector=detector)

    trained = scaling_per_unit().units
    assert table.units == (*trained, f"{trained[0]}-2")
    level_UF = [table.values_NF[table.unit_N == unit].mean(axis=0) for unit in (0, 1)]
    np.testing.assert_allclose(level_UF[1] - level_UF[0], 1_000.0, atol=20.0)


@pytest.mark.parametrize("mode", [(), ("--continuous",)])
def test_faults_are_labelled(mode: tuple[str, ...], sampled: Sampled) -> None:
    faults = ["--fault", "shift:pressure@0.2", "--fault", "dropout:vibration@0.1"]

    table = sampled("-n", "2000", *mode, *faults)

    assert table.label_N is not None
    assert 0.1 < table.label_N.mean() < 0.5
    missing_N = np.isnan(table.values_NF[:, 2])
    assert missing_N.any()
    assert table.label_N[missing_N].all()


def test_the_same_seed_writes_the_same(sampled: Sampled) -> None:
    options = ("-n", "300", "--continuous", "--fault", "noise@0.1", "--seed")

    first, again, other = (sampled(*options, seed) for seed in ("1", "1", "2"))

    np.testing.assert_array_equal(first.values_NF, again.values_NF)
    assert not np.array_equal(first.values_NF, other.values_NF)


@pytest.mark.parametrize(
    ("latent", "noise"), [("prior", "gaussian"), ("prior", "observed")]
)
def test_the_prior_itself_can_be_drawn_from(
    latent: str, noise: str, sampled: Sampled
) -> None:
    assert len(sampled("-n", "20", "--from", latent, "--noise", noise)) == 20 * T


@pytest.mark.parametrize("model", ["ensemble", "vae", "dvae"])
@pytest.mark.parametrize("scaling", ["pooled", "per-unit"])
def test_what_was_trained_is_drawn_from_and_scores_what_was_drawn(
    model: str, scaling: str, run_trainer: Command, tmp_path: Path
) -> None:
    detector = tmp_path / "pumps"
    history = builders.history(builders.sensor_series(400), [200, 200])
    quick(detector, history, model, scaling=scaling)
    out, scores = tmp_path / "synthetic.csv", tmp_path / "scores.csv"

    ended = run_trainer(
        "sample", str(detector), "-n", "300", "--continuous", "--out", str(out)
    )
    score_file(detector, out, scores, "cpu")

    assert ended.returncode == 0
    assert len(scores.read_text().splitlines()) == 301


def test_a_history_can_be_trained_on(
    sampled: Sampled, run_trainer: Command, tmp_path: Path
) -> None:
    table = sampled("-n", "400", "--continuous")
    assert len(table) == 400

    ended = run_trainer(
        "fit",
        str(tmp_path / "synthetic.parquet"),
        *("--out", str(tmp_path / "again"), "--model", "ae", "--window", "8"),
        *("--set", "steps=5", "--device", "cpu"),
    )

    assert ended.returncode == 0


def test_windows_are_drawn_piece_by_piece(
    draws: Callable[..., Draws], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.synthetic.faults import Faults

    monkeypatch.setattr(Draws, "n_at_once", 4)
    scaling = builders.detector("vae").scaling
    rows = window_rows(draws(), scaling, 10**12, Faults([], 3, 1.0, 1, 0))

    pieces = [next(rows) for _ in range(3)]

    assert [len(piece.unit_N) for piece in pieces] == [4 * T] * 3
    assert pieces[2].units[0] == "window-9"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "a.txt"), "expected a name that ends in"),
        (("--out", "no/such/a.csv"), "cannot be written"),
        ((), "expected either --out FILE or --to-kafka"),
        (("--out", "a.csv", "--to-kafka", "127.0.0.1:1"), "expected either"),
        (("--out", "a.csv", "--units", "2"), "with --continuous only"),
        (("--out", "a.csv", "--step", "soon"), "expected a length of time"),
        (("--out", "a.csv", "--step", "0s"), "expected a length of time"),
        (("--out", "a.csv", "--start", "soon"), "expected a time since 1970"),
        (("--out", "a.csv", "--start", "9999-12-31T23:59:59Z"), "beyond the year 9999"),
        (("--out", "a.csv", "--fault", "fire"), "expected one of spike"),
        (("--out", "a.csv", "--fault-size", "nan"), "expected a number above 0"),
        (("--to-kafka", "127.0.0.1:1", "--rate", "0"), "expected a number above 0"),
        (("--to-kafka", "nowhere"), "expected host:port"),
        (("--out", "a.csv", "--device", "tpu"), "expected auto, cpu"),
        (
            ("--out", "a.csv", "--continuous", "--units", "99999999"),
            "--units 99999999: expected at most",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_and_no_file(
    options: tuple[str, ...],
    message: str,
    folder: Path,
    run_trainer: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    ended = run_trainer("sample", str(folder), *options)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("families", ["ae", "conv"])
def test_a_detector_without_a_vae_is_one_line_and_no_file(
    families: str, run_trainer: Command, tmp_path: Path
) -> None:
    detector, out = kept(tmp_path / "pumps", families), tmp_path / "a.csv"

    ended = run_trainer("sample", str(detector), "--out", str(out))

    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert "expected a detector with a VAE in it" in ended.stderr
    assert not out.exists()


def test_no_detector_is_one_line(run_trainer: Command, tmp_path: Path) -> None:
    ended = run_trainer("sample", str(tmp_path), "--out", str(tmp_path / "a.csv"))

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1


def test_gaps_of_the_history_are_drawn_too(
    folder: Path, draws: Callable[..., Draws]
) -> None:
    drawn = draws()
    with_gap_BTF = drawn.kept_BTF.clone()
    with_gap_BTF[:, 3, 1] = float("nan")
    drawn._learn(with_gap_BTF, spacing=1.0)

    x_BTF: FloatArray = drawn.windows(20)

    assert np.isnan(x_BTF[:, 3, 1]).all()
    assert np.isfinite(np.delete(x_BTF, 3, axis=1)).all()


def test_columns_are_those_of_a_history(sampled: Sampled, tmp_path: Path) -> None:
    sampled("-n", "2")

    schema = pyarrow.parquet.read_schema(tmp_path / "synthetic.parquet")

    assert schema.names == ["time", "unit", *builders.SENSORS, "label"]
    assert schema.field("label").type == pa.int8()
