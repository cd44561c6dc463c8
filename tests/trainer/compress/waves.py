"""Sensors that follow fast waves: what a network foretells and the last value does not."""

from pathlib import Path

import numpy as np

from pipeline.records import FloatArray
from tests import builders
from tests.trainer.reporting import OnDisk
from tests.trainer.training import no_one_listens
from trainer.settings import TrainerSettings
from trainer.train import train

WINDOW = 8
SENSORS = tuple(f"sensor-{f}" for f in range(6))


def waves(n_readings: int, seed: int = 0) -> FloatArray:
    """Two waves of three and five readings, mixed differently for each sensor."""
    random = np.random.default_rng(seed)
    step_N1 = np.arange(n_readings)[:, None] + 1_000.0 * seed
    phase_F = np.linspace(0.0, 6.0, len(SENSORS))
    waves_NF = np.sin(1.7 * step_N1 + phase_F) + np.sin(1.18 * step_N1 - 2 * phase_F)
    noise_NF = 0.01 * random.normal(size=waves_NF.shape)
    level_F = 10.0 ** np.arange(len(SENSORS))
    values_NF: FloatArray = ((waves_NF + noise_NF) * level_F + level_F).astype(np.float32)
    return values_NF


def detector_of_waves(folder: Path, model: str, **settings: object) -> OnDisk:
    """A detector that foretells them well."""
    asked = TrainerSettings(
        window=WINDOW,
        steps=400,
        epochs=1_000,
        batch_windows=64,
        learning_rate=5e-3,
        latent=6,
        hidden=32,
        folds=1,
        device="cpu",
    ).model_copy(update=settings)
    history = builders.history(waves(1_500), [900, 600])
    trained = train(history, model, asked, folder, no_one_listens)
    return OnDisk(folder, trained.loaded.digest, SENSORS)
