"""How hypothesis and torch run, and what several tests of the worker start from."""

import pytest
import torch
from hypothesis import settings

from pipeline.detector.detector import Detector
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
