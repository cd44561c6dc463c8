"""How hypothesis and torch run, and what several tests of the worker start from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from hypothesis import settings

from pipeline.detector.detector import Detector
from pipeline.kafka_server import LocalKafka
from pipeline.table import Table, read_table
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.secure_kafka import Certificates, certificates, secure_kafka
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


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of the broker below, of a client, and of strangers."""
    return certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="session")
def secure_broker(pem: Certificates) -> Iterator[LocalKafka]:
    """A real Kafka that asks who connects, on a port for each protocol."""
    with secure_kafka(pem) as kafka:
        yield kafka
