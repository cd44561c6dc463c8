"""How many units a worker takes on: as many as their state may take memory for."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import run
from pipeline.detector.artifact import LoadedDetector
from pipeline.settings import Settings
from pipeline.window import SlidingWindows
from tests.builders import SENSORS, residual_scoring, saved_detector

WINDOW_BYTES = SlidingWindows.bytes_per_unit(8, len(SENSORS))


def loaded(tmp_path: Path, span: int) -> LoadedDetector:
    return saved_detector(tmp_path / "pumps", scoring=residual_scoring(("shift", span)))


def settings(**fields: object) -> Settings:
    return Settings.model_validate({"detector": Path("pumps"), **fields})


def test_a_units_last_readings_and_last_residuals_count(tmp_path: Path) -> None:
    n_bytes = loaded(tmp_path, span=64).detector.memory().bytes_per_unit
    assert n_bytes > 63 * len(SENSORS) * np.float32().itemsize

    limit = 2_000 * (WINDOW_BYTES + n_bytes)
    limited = settings(max_units=10_000, max_state_bytes=limit)

    assert run._n_units(limited, loaded(tmp_path, span=64)) == 2_000


@pytest.mark.parametrize("span", [1, 64])
def test_no_more_units_than_were_asked_for(tmp_path: Path, span: int) -> None:
    roomy = settings(max_units=7, max_state_bytes=2**40)

    assert run._n_units(roomy, loaded(tmp_path, span)) == 7
