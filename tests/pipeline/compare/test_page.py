"""The page of a comparison, as a browser shows it."""

import re
from pathlib import Path

import pytest

from pipeline.compare.run import run
from pipeline.errors import InputError
from pipeline.settings import ReplaySettings
from tests.browser import chromium
from tests.pipeline.compare import comparing
from tests.pipeline.compare.comparing import asked, table

SETTINGS = ReplaySettings(device="cpu")


def test_a_browser_shows_all_of_it_and_has_no_complaint(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    data = table(tmp_path / "data.parquet", labelled=True)

    run(asked(wide, narrow, data, page=page), SETTINGS)

    shown = chromium(page, "--dump-dom")
    assert re.findall(r"<h2>([^<]*)</h2>", shown) == [
        "Figures",
        "Units whose incidents differ",
        "Incidents that differ",
        "Where they differ",
    ]
    assert "by A alone: 1" in shown
    # Of each unit that differs its scores; and both scores against each other.
    assert shown.count("<svg") == len(re.findall(r"<h3>", shown)) + 1
    assert "http" not in shown.replace("http-equiv", "")


def test_the_curves_are_of_the_units_that_differ_alone(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    data = table(tmp_path / "data.parquet", units=["pump-1", "pump-3"])

    run(asked(wide, narrow, data, page=page), SETTINGS)

    assert re.findall(r"<h3>([^<]*)</h3>", page.read_text()) == ["pump-1"]


def test_without_any_difference_there_are_no_pictures_of_units(
    wide: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"

    run(asked(wide, wide, table(tmp_path / "data.parquet"), page=page), SETTINGS)

    assert "each incident was found by both" in page.read_text()
    assert "<h3>" not in page.read_text()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "Pumpe Süd/2"])
def test_whatever_a_unit_is_called_it_is_shown_as_text(
    wide: Path,
    narrow: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setitem(comparing.FAULTS, name, comparing.FAULTS["pump-1"])
    page = tmp_path / "page.html"
    data = table(tmp_path / "data.parquet", units=[name])

    run(asked(wide, narrow, data, page=page), SETTINGS)

    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script" in text or name in text


def test_a_page_is_not_written_into_a_detector(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "data.parquet")

    with pytest.raises(InputError, match="holds nothing but the detector"):
        run(asked(wide, narrow, data, page=wide / "page.html"), SETTINGS)
