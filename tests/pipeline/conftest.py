"""How hypothesis and torch run, and what several tests of the worker start from."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import settings

from pipeline.detector.detector import Detector
from pipeline.table import Table, read_table
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.workers import N_READINGS, WINDOW

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Networks this small only wait for each other on several threads.
torch.set_num_threads(1)


@pytest.fixture
def detector() -> Detector:
    """Its threshold is above every score of the series without the fault."""
    return builders.quiet_detector(N_READINGS, WINDOW)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(n_partitions=2)


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Table]:
    """Reads a text as a CSV file."""

    def read(text: str) -> Table:
        path = tmp_path / "history.csv"
        path.write_text(text)
        return read_table(path)

    return read


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[[dict[str, object]], Table]:
    """Reads columns as a Parquet file."""

    def read(columns: dict[str, object]) -> Table:
        path = tmp_path / "history.parquet"
        pa.parquet.write_table(pa.table(columns), path)
        return read_table(path)

    return read
