"""The report as people see it: in a real browser, Chromium, without a window."""

import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from tests.browser import chromium
from tests.trainer.reporting import OnDisk, series_with_fault, write_table
from tests.trainer.training import Command

WIDTH, HEIGHT = 1_200, 6_000
HEADINGS = [
    *("Score over time", "Labelled events", "Incidents and false alarms"),
    *("Each sensor, measured and expected", "Labelled events from near"),
    *("How it sees the sensors", "All readings at a glance", "What was learned"),
]


@pytest.fixture
def page(detector: OnDisk, run_trainer: Command, tmp_path: Path) -> Path:
    data = write_table(
        tmp_path / "data.parquet", detector.sensors, {"pump-7": series_with_fault()}
    )
    out = tmp_path / "page.html"
    done = run_trainer("report", str(detector.folder), str(data), "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out


def test_a_browser_shows_all_of_it_and_has_no_complaint(page: Path) -> None:
    shown = chromium(page, "--dump-dom")

    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", shown)
    assert headings[: len(HEADINGS)] == HEADINGS
    assert "http" not in re.sub(r"<title>.*?</title>|http-equiv", "", shown)


def test_its_pictures_are_drawn_and_nothing_is_wider_than_the_window(page: Path) -> None:
    picture = page.with_suffix(".png")

    chromium(page, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}")

    shades_HW = matplotlib.image.imread(picture)[:, :, :3].mean(axis=2)
    assert shades_HW.shape == (HEIGHT, WIDTH)
    # The page's margins are empty on both sides, and between them there are marks.
    assert np.ptp(shades_HW[:, :8]) < 0.02
    assert np.ptp(shades_HW[:2_000, -4:]) < 0.02
    rows_with_marks = np.ptp(shades_HW[:, 100:-100], axis=1) > 0.2
    assert rows_with_marks.mean() > 0.2


def test_without_data_the_page_is_of_the_detector_alone(
    detector: OnDisk, run_trainer: Command, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"

    done = run_trainer("report", str(detector.folder), "--out", str(out))

    assert done.returncode == 0, done.stderr
    shown = chromium(out, "--dump-dom")
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", shown)
    assert headings == [
        *("How it sees the sensors", "Its history at a glance", "What was learned")
    ]
