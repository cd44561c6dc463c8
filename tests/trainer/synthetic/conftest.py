"""Detectors that keep whole windows, untrained: at once there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detector import artifact
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from tests import builders
from trainer.synthetic.draws import Draws, Latent, Noise

T = 8
N_KEPT = 300
SERIES_NF = builders.sensor_series(N_KEPT + T - 1)
CPU = torch.device("cpu")


def scaling_per_unit() -> Scaling:
    pooled = Scaler.fit(SERIES_NF)
    level_UF = np.stack([pooled.mean_F, pooled.mean_F + 1_000.0])
    scale_UF = np.stack([pooled.scale_F, pooled.scale_F])
    return Scaling(pooled, ["a", "b"], level_UF, scale_UF)


def kept(
    folder: Path, families: str = "vae", whole: bool = True, per_unit: bool = False
) -> Path:
    """A detector's folder."""
    built = builders.detector(families, window=T)
    if per_unit:
        built = replace(built, scaling=scaling_per_unit())
    manifest = builders.manifest(built)
    whole_BTF = builders.windows_of(built.scaling.scaled(SERIES_NF), T) if whole else None
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    artifact.save(folder, built, golden_NF, reference_BTF, manifest, whole_BTF)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(tmp_path_factory.mktemp("kept") / "pumps")


@pytest.fixture
def draws(folder: Path) -> Callable[..., Draws]:
    def of(latent: Latent = "posterior", noise: Noise = "observed", seed: int = 0) -> Draws:
        return Draws(artifact.load(folder), folder, latent, noise, CPU, seed)

    return of
