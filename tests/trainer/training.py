"""Small histories, quick trainings and scores, as the tests of the trainer need them."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pytest
import torch

from pipeline.detector.families import FAMILIES
from pipeline.records import FloatArray, IntArray
from tests import builders
from trainer.calibrate import HeldOutScores
from trainer.held_out import held_out_measures, n_before
from trainer.history import History
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, Trained, train

STEP_S = 600.0
each_model = pytest.mark.parametrize("model", [ENSEMBLE, *sorted(FAMILIES)])
each_scoring = pytest.mark.parametrize(
    ("model", "score"),
    [
        *((model, "residual") for model in (ENSEMBLE, *sorted(FAMILIES))),
        *(("vae", score) for score in ("elbo", "reconstruction-probability")),
    ],
)
QUICK = TrainerSettings(window=8, steps=20, batch_windows=32, device="cpu")
"""Learns next to nothing, at once."""


def held_out_scores(score_B: FloatArray, series_B: IntArray | None = None) -> HeldOutScores:
    """Scores a step of 600 s apart, each series from its own beginning."""
    if series_B is None:
        series_B = np.zeros(len(score_B), dtype=np.int64)
    rank_B = np.arange(len(series_B)) - np.searchsorted(series_B, series_B)
    return HeldOutScores(score_B, series_B, STEP_S * rank_B.astype(np.float64))


def no_one_listens(done: float, loss: float) -> None:
    """Progress that is not shown."""


def quick(
    out: Path, history: History | None = None, model: str = "ae", **settings: object
) -> Trained:
    """A detector that has learned next to nothing, at once."""
    return train(
        history or builders.history(builders.sensor_series(400)),
        model,
        QUICK.model_copy(update=settings),
        out,
        no_one_listens,
    )


def held_out_levels(outcome: Trained) -> tuple[FloatArray, IntArray]:
    """Scores before the threshold, by members that did not train on them; their series."""
    detector, folds = outcome.loaded.detector, outcome.folds
    series_B = np.concatenate([fold.held_out.series_B for fold in folds.folds])
    measure_BC = held_out_measures(
        detector.networks, detector.scoring, folds, torch.device("cpu")
    )
    surprise = detector.scoring.surprise(
        measure_BC, np.arange(len(series_B)), n_before(series_B)
    )
    return surprise.score_B, series_B


class TrainedModel(Protocol):
    """Trains a model and keeps it for the tests after."""

    def __call__(self, model: str, score: str = "residual") -> Trained: ...


class Ended(NamedTuple):
    """What came of a command."""

    returncode: object
    stdout: str
    stderr: str


class Command(Protocol):
    """Runs a command line to its end."""

    def __call__(self, *arguments: str) -> Ended: ...
