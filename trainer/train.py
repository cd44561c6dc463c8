"""From history to detector: cut in folds, scale, fit, learn to score, calibrate, write."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from pipeline.detector import artifact
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import VARIATIONAL, build_network
from pipeline.detector.network import Network, NetworkShape, default_shape
from pipeline.detector.residual import ResidualScoring
from pipeline.detector.scoring import Scoring
from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray
from pipeline.score import choose_device
from pipeline.settings import parse_trigger
from pipeline.trigger import IncidentRule
from trainer.baselines import reference_windows
from trainer.calibrate import Calibration, HeldOutScores, calibrate
from trainer.fit import FitSettings, fit_network, number_of_steps
from trainer.held_out import held_out_measures, held_out_rows, n_before
from trainer.history import History
from trainer.manifest import manifest_of
from trainer.roles import roles
from trainer.scaling import choose_scaling
from trainer.settings import TrainerSettings
from trainer.split import Folds, split
from trainer.split_sensors import without_sensors, without_unseen_sensors
from trainer.surprise import drift, explained, fit_elbo_scoring, fit_residual_scoring

ENSEMBLE = "ensemble"
FAMILIES_OF: dict[str, tuple[str, ...]] = {ENSEMBLE: ("vae", "dae")}
"""The families behind a name that is not one itself."""
N_GOLDEN = 40
"""Windows in a row: more than any statistic of them spans."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it, for whoever reports it."""

    loaded: LoadedDetector
    calibration: Calibration
    held_out: HeldOutScores
    """What the calibration was made on."""
    folds: Folds
    fit_seconds: float


def train(
    history: History,
    model: str,
    settings: TrainerSettings,
    out: Path,
    on_progress: Callable[[float, float], None],
) -> Trained:
    """Fit a detector on `history` and write its folder.

    Args:
        history: readings of one or several units.
        model: a key of `FAMILIES` or of `FAMILIES_OF`.
        settings: how.
        out: the detector's folder; its name becomes the detector's.
        on_progress: told the share of training done, 0 to 1, and the last mean loss.

    Raises:
        InputError: the history is too short or holds next to no values, the score asked
            for is not one of this model, or `out` holds something else.
    """
    began_s = time.monotonic()
    artifact.refuse_other_content(out)
    families = FAMILIES_OF.get(model, (model,))
    check_score(families, settings)
    torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    folds = split(
        history,
        settings.window,
        settings.stride,
        settings.folds,
        settings.calibration_fraction,
    )
    history, folds = without_unseen_sensors(history, folds)
    unit_N = history.unit_N[folds.used_N]
    role = roles(history.values_NF[folds.used_N], unit_N)
    is_scored_F = role.is_scored_F[~role.is_left_out_F]
    history, folds = without_sensors(history, folds, role.is_left_out_F, "one value only")
    scaling, gain = choose_scaling(
        history.values_NF[folds.used_N],
        unit_N,
        history.units,
        is_scored_F,
        settings.scaling,
    )
    line_U = np.array([scaling.line(unit) for unit in history.units])
    x_NF = scaling.scaled(history.values_NF, line_U[history.unit_N])
    folds = folds.over(x_NF)
    networks, losses = _fitted(families, folds, settings, device, on_progress)
    drift_F = drift(np.nan_to_num(x_NF[folds.used_N]), unit_N)
    scoring, share_explained = _scoring(
        networks, folds, is_scored_F, drift_F, settings, device
    )
    scores = _held_out_scores(networks, scoring, folds, device)
    rule = IncidentRule(*parse_trigger(settings.trigger), settings.recovery)
    calibration = calibrate(scores, rule, settings.false_alarms_per_day)
    detector = Detector(history.sensors, networks, scaling, scoring, calibration.threshold)
    detector.to("cpu")
    fit_seconds = time.monotonic() - began_s
    manifest = manifest_of(
        out.resolve().name,
        detector,
        families,
        calibration,
        rule,
        history,
        folds,
        settings,
        scaling_gain=gain,
        n_steps=number_of_steps([f.training for f in folds.folds], _fit_settings(settings)),
        losses=losses,
        explained=share_explained,
        versions=_versions(),
    )
    golden_NF = _golden_readings(history, folds, scores, settings.window)
    reference_BTF = reference_windows(folds.folds[0].training)
    loaded = artifact.save(out, detector, golden_NF, reference_BTF, manifest)
    return Trained(loaded, calibration, scores, folds, fit_seconds)


def check_score(families: tuple[str, ...], settings: TrainerSettings) -> None:
    """Raise InputError if networks of these families cannot score as asked."""
    strangers = [family for family in families if family not in VARIATIONAL]
    if settings.score != "residual" and strangers:
        raise InputError(
            f"score {settings.score!r} is made by a VAE, not by {strangers[0]!r}; "
            f"choose --model {' or '.join(VARIATIONAL)}"
        )


def _fitted(
    families: tuple[str, ...],
    folds: Folds,
    settings: TrainerSettings,
    device: torch.device,
    on_progress: Callable[[float, float], None],
) -> tuple[tuple[Network, ...], dict[str, float]]:
    """A network of each family with a member a fold, and the training losses."""
    shape = _shape(settings, folds)
    training = [fold.training for fold in folds.folds]
    networks, losses = [], {}
    for number, family in enumerate(families):
        torch.manual_seed(settings.seed)
        network = build_network(family, shape)

        def tell(done: float, loss: float, number: int = number) -> None:
            on_progress((number + done) / len(families), loss)

        losses[family] = fit_network(
            network, training, _fit_settings(settings), device, tell
        )
        networks.append(network.to(device))
    return tuple(networks), losses


def _scoring(
    networks: tuple[Network, ...],
    folds: Folds,
    is_scored_F: BoolArray,
    drift_F: FloatArray,
    settings: TrainerSettings,
    device: torch.device,
) -> tuple[Scoring, float]:
    rows = held_out_rows(networks, folds, device)
    by_residual: ResidualScoring = fit_residual_scoring(
        rows, is_scored_F, drift_F, settings.max_span
    )
    share_explained = explained(rows, by_residual)
    if settings.score == "residual":
        return by_residual, share_explained
    has_kl = settings.score == "elbo"
    nats_BC = held_out_measures(networks, ElboScoring(has_kl, 1.0), folds, device)
    return fit_elbo_scoring(nats_BC, has_kl, settings.window), share_explained


def _held_out_scores(
    networks: tuple[Network, ...],
    scoring: Scoring,
    folds: Folds,
    device: torch.device,
) -> HeldOutScores:
    measure_BC = held_out_measures(networks, scoring, folds, device)
    series_B = folds.series_B
    surprise = scoring.surprise(measure_BC, np.arange(len(series_B)), n_before(series_B))
    time_s_B = np.concatenate([fold.held_out.time_s_B for fold in folds.folds])
    return HeldOutScores(surprise.score_B, series_B, time_s_B)


def _golden_readings(
    history: History, folds: Folds, scores: HeldOutScores, window: int
) -> FloatArray:
    """A stretch of held-out readings, the one with the highest score in it."""
    top = int(scores.score_B.argmax())
    same_B = np.flatnonzero(scores.series_B == scores.series_B[top])
    first = max(same_B[0], min(top - N_GOLDEN // 2, same_B[-1] - N_GOLDEN + 1))
    last = min(first + N_GOLDEN, same_B[-1] + 1)
    start_B = np.concatenate([fold.held_out.windows.start_B for fold in folds.folds])
    return history.values_NF[start_B[first] : start_B[last - 1] + window]


def _shape(settings: TrainerSettings, folds: Folds) -> NetworkShape:
    n_sensors = folds.folds[0].training.flat_MF.shape[1]
    by_rule = default_shape(settings.window, n_sensors, len(folds.folds))
    return replace(
        by_rule,
        hidden=settings.hidden or by_rule.hidden,
        latent=settings.latent or by_rule.latent,
    )


def _fit_settings(settings: TrainerSettings) -> FitSettings:
    return FitSettings(
        steps=settings.steps,
        epochs=settings.epochs,
        batch_windows=settings.batch_windows,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )


def _versions() -> dict[str, str]:
    packages = ("sensor-anomaly-pipeline", "torch", "numpy", "safetensors")
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
