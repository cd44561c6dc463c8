"""How hypothesis runs, and detectors that are trained once."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests import builders
from trainer.settings import TrainerSettings
from trainer.train import Trained, train

# On a busy machine a slow example is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Networks this small only wait for each other on several threads.
torch.set_num_threads(1)

SMALL = TrainerSettings(
    window=8,
    epochs=20,
    warmup_epochs=5,
    learning_rate=3e-3,
    false_alarms_per_day=5.0,
    trigger="3/5",
    recovery=10,
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """A detector of a family, trained on two units of normal readings."""

    @cache
    def of_family(family: str) -> Trained:
        folder: Path = tmp_path_factory.mktemp(family)
        history = builders.history(builders.sensor_series(1_500), [900, 600])
        return train(history, family, SMALL, folder / "pumps", lambda _fraction, _: None)

    return of_family
