"""`trainer report`: how it refuses, and what it then leaves as it was."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DetectorError, InputError
from tests import builders
from tests.trainer.reporting import (
    WINDOW,
    OnDisk,
    Reported,
    alert_line,
    series_with_fault,
    write_table,
)
from tests.trainer.training import Command
from trainer.report_file import write_report


def test_missing_sensors_are_named(detector: OnDisk, tmp_path: Path) -> None:
    data = write_table(tmp_path / "a.parquet", ["sensor-0"], {"u": series_with_fault()})

    with pytest.raises(
        InputError, match=r"3 sensors .*'sensor-1', .*<scr.* are missing, found"
    ):
        write_report(detector.folder, data, tmp_path / "page.html", None, "cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_data_shorter_than_a_window_is_refused(tmp_path: Path, reported: Reported) -> None:
    with pytest.raises(InputError, match=f"at least {WINDOW} readings .* longest has 5"):
        reported({"pump-7": builders.sensor_series(5)}, labelled=None)
    assert not (tmp_path / "page.html").exists()


def test_data_without_a_value_is_refused(tmp_path: Path, reported: Reported) -> None:
    nothing_NF = np.full((50, 3), np.nan, dtype=np.float32)

    with pytest.raises(InputError, match="none of the detector's sensors has a value"):
        reported({"pump-7": nothing_NF}, labelled=None)
    assert not (tmp_path / "page.html").exists()


def test_a_table_with_the_newest_row_first_is_refused_and_told_why(
    reported: Reported,
) -> None:
    with pytest.raises(InputError, match=r"the longest has 1; 99 rows were left out"):
        reported({"u": builders.sensor_series(100)}, times_s=range(100, 0, -1))


@pytest.mark.parametrize("line", ["{", "[]", '{"schema": "alert/2"}', "\udcff"])
def test_an_unreadable_alert_is_named_by_its_line(
    line: str, detector: OnDisk, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "a.parquet", detector.sensors, {"u": series_with_fault()})
    alerts = tmp_path / "alerts.jsonl"
    good = alert_line(detector.digest, 10, 20)
    alerts.write_bytes(f"{good}\n\n{line}\n".encode(errors="surrogateescape"))

    with pytest.raises(InputError, match=r"alerts\.jsonl: line 3: expected"):
        write_report(detector.folder, data, tmp_path / "page.html", alerts, "cpu")


def test_an_alert_whose_time_is_none_is_named_by_its_line(
    reported: Reported, detector: OnDisk
) -> None:
    line = alert_line(detector.digest, 10, 20)

    with pytest.raises(InputError, match=r"line 1: .*Invalid isoformat"):
        reported(alerts=[line.replace('"opened_at": "', '"opened_at": "x')])


def test_alerts_of_another_detector_only_are_refused(reported: Reported) -> None:
    with pytest.raises(InputError, match="all 1 alerts are of another detector"):
        reported(alerts=[alert_line("sha256:00", 20, 30)])


def test_a_folder_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"manifest\.json"):
        write_report(tmp_path, tmp_path / "x.csv", tmp_path / "page.html", None, "cpu")


def test_a_page_cannot_be_written_over_a_folder_nor_its_input(
    detector: OnDisk, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "a.parquet", detector.sensors, {"u": series_with_fault()})
    before = data.read_bytes()

    for out, why in (
        (tmp_path, "it is a folder"),
        (data, "replace what it is made from"),
        (tmp_path / "no" / "page.html", "is no writable folder"),
        (data / "page.html", "is no writable folder"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        with pytest.raises(InputError, match=why):
            write_report(detector.folder, data, out, None, "cpu")
    assert data.read_bytes() == before
    assert list(tmp_path.iterdir()) == [data]


def test_a_page_that_fails_leaves_the_one_before(
    tmp_path: Path, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    page.write_text("the one before")

    def disk_full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(InputError, match=r"the page cannot be written: No space left"):
        reported()

    assert page.read_text() == "the one before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "stream.parquet"]


def test_a_wrong_input_is_one_line_and_exit_code_2(
    tmp_path: Path, run_trainer: Command
) -> None:
    page = str(tmp_path / "page.html")

    done = run_trainer("report", str(tmp_path), "x.csv", "--out", page)

    assert done.returncode == 2
    assert re.fullmatch(r"\s*error: .*manifest\.json: cannot be read.*\n", done.stderr)
