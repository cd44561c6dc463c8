"""A detector on disk."""

from pathlib import Path

import pytest

from tests.builders import saved_detector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A detector's folder, as good as when it was written."""
    saved_detector(tmp_path / "pumps")
    return tmp_path / "pumps"
