"""Detectors of waves, trained once, and tables put through both commands."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.trainer.compress.waves import SENSORS, detector_of_waves, waves
from tests.trainer.reporting import OnDisk, write_table
from trainer.compress.compress import Compressed, compress_file
from trainer.compress.decompress import Restored, decompress_file


@pytest.fixture(scope="session")
def of_waves(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], OnDisk]:
    """A detector of waves by a model, once."""

    @cache
    def of_model(model: str) -> OnDisk:
        return detector_of_waves(tmp_path_factory.mktemp(model) / "waves", model)

    return of_model


@pytest.fixture(scope="session")
def wave_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two units' waves, long enough for a network to pay."""
    values = {"a": waves(9_000, 1), "b": waves(3_000, 2)}
    return write_table(tmp_path_factory.mktemp("data") / "waves.parquet", SENSORS, values)


class Both(NamedTuple):
    """A table put through both commands."""

    compressed: Compressed
    restored: Restored
    table: pa.Table
    file: Path


@pytest.fixture
def through_both(tmp_path: Path) -> Callable[[Path, Path, float], Both]:
    """Compresses a table and restores it."""

    def both(detector: Path, data: Path, max_error: float) -> Both:
        file, back = tmp_path / "small", tmp_path / "back.parquet"
        compressed = compress_file(detector, data, file, max_error, "cpu")
        restored = decompress_file(file, back, "cpu")
        assert file.stat().st_size == compressed.n_bytes
        return Both(compressed, restored, pyarrow.parquet.read_table(back), file)

    return both
