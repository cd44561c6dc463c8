"""The two commands: what they say, and what they refuse with one line and exit code 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.records import FloatArray
from tests.trainer.compress.waves import SENSORS, waves
from tests.trainer.reporting import OnDisk, write_table
from tests.trainer.training import Command

OfWaves = Callable[[str], OnDisk]


def test_it_says_what_each_way_takes_and_which_is_used(
    run_trainer: Command, of_waves: OfWaves, wave_table: Path, tmp_path: Path
) -> None:
    folder, small, back = of_waves("ae").folder, tmp_path / "s", tmp_path / "b.parquet"

    ended = run_trainer(
        *("compress", str(folder), str(wave_table)),
        *("--out", str(small), "--max-error", "0.5%"),
    )

    assert ended.returncode == 0
    told = ended.stdout.splitlines()
    assert told[0].startswith("12,000 rows of 6 sensors; largest error 0.005 of")
    assert [line.split("  ")[0] for line in told[1:4]] == [
        "32-bit floats",
        "plain, without a network",
        "with the network, all in it",
    ]
    assert told[4:] == ["with the network is smaller and is used", f"written: {small}"]
    ended = run_trainer("decompress", str(small), "--out", str(back))
    assert ended.returncode == 0
    assert ended.stdout.splitlines() == [
        "12,000 rows of 6 sensors, each value within 0.005 of its sensor's range",
        f"written: {back}",
    ]


def test_it_says_so_where_plain_is_used(
    run_trainer: Command, of_waves: OfWaves, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "d.parquet", SENSORS, {"a": waves(60)})

    ended = run_trainer(
        *("compress", str(of_waves("ae").folder), str(data)),
        *("--out", str(tmp_path / "s"), "--max-error", "0.02"),
    )

    assert "plain is smaller and is used" in ended.stdout


GAPS = np.full((60, len(SENSORS)), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("sensors", "values_NF", "message"),
    [
        (("x", *SENSORS[1:]), waves(60), "sensor-0 are missing"),
        (SENSORS, waves(7), "at least 8 readings of a unit"),
        (SENSORS, GAPS, "none of the detector's sensors has a value"),
        (SENSORS, None, "cannot be read"),
    ],
)
def test_a_table_that_is_of_no_use_is_refused(
    sensors: tuple[str, ...],
    values_NF: FloatArray | None,
    message: str,
    run_trainer: Command,
    of_waves: OfWaves,
    tmp_path: Path,
) -> None:
    data = tmp_path / "d.parquet"
    if values_NF is not None:
        write_table(data, sensors, {"a": values_NF})

    ended = run_trainer(
        *("compress", str(of_waves("ae").folder), str(data)),
        *("--out", str(tmp_path / "s"), "--max-error", "1%"),
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert message in ended.stderr
    assert [path for path in tmp_path.iterdir() if path != data] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "missing/s", "--max-error", "1%"], "is no writable folder"),
        (["--out", "s", "--max-error", "much"], "like 0.5% or 0.005"),
        (["--out", "d.parquet", "--max-error", "1%"], "what it is made from"),
        (["--out", "s", "--max-error", "1%", "--device", "tpu"], "device 'tpu'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: list[str],
    message: str,
    run_trainer: Command,
    of_waves: OfWaves,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(Path("d.parquet"), SENSORS, {"a": waves(60)})

    ended = run_trainer("compress", str(of_waves("ae").folder), "d.parquet", *options)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["d.parquet"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("back.txt", "ends in .parquet or .csv"),
        ("missing/back.csv", "is no writable folder"),
        ("back.csv", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_restored_is_refused(
    out: str, message: str, run_trainer: Command, tmp_path: Path
) -> None:
    ended = run_trainer("decompress", str(tmp_path / "no"), "--out", str(tmp_path / out))

    assert ended.returncode == 2
    assert message in ended.stderr
    assert list(tmp_path.iterdir()) == []
