"""The two detectors, made once."""

from pathlib import Path

import pytest

from tests.pipeline.compare.comparing import narrow_detector, wide_detector


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wide_detector(tmp_path_factory.mktemp("wide") / "wide")


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return narrow_detector(tmp_path_factory.mktemp("narrow") / "narrow")
