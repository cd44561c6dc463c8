"""From history to detector: prepare, fit, learn to score, calibrate, write."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from pipeline.detector import artifact
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import VARIATIONAL
from pipeline.detector.network import Network
from pipeline.detector.scoring import Scoring
from pipeline.errors import InputError
from pipeline.records import FloatArray
from pipeline.settings import parse_trigger
from pipeline.trigger import IncidentRule
from trainer.baselines import reference_windows, whole_windows
from trainer.calibrate import Calibration, HeldOutScores, calibrate
from trainer.distributed import ALONE, Ranks
from trainer.fit_families import fit_families, steps_of_family
from trainer.held_out import held_out_measures, held_out_rows
from trainer.history import History
from trainer.labels.residuals import anomalous_residuals, silenced_residuals
from trainer.labels.signature import with_signatures
from trainer.manifest import manifest_of
from trainer.prepare import Prepared, prepare
from trainer.settings import TrainerSettings
from trainer.split import Folds
from trainer.surprise import explained, fit_elbo_scoring, fit_residual_scoring
from trainer.usual import usual_readings

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
    ranks: Ranks = ALONE,
    on_ready: Callable[[Detector, IncidentRule], None] | None = None,
) -> Trained:
    """Fit a detector on `history` and write its folder.

    Args:
        history: readings of one or several units.
        model: a key of `FAMILIES` or of `FAMILIES_OF`.
        settings: how.
        out: the detector's folder; its name becomes the detector's.
        on_progress: told the share of training done, 0 to 1, and the last mean loss.
        ranks: this process, the first, and those that `help_train`.
        on_ready: told of the detector before its folder is written.

    Raises:
        InputError: the history is too short or holds next to no values, the score asked
            for is not one of this model, or `out` holds something else.
    """
    began_s = time.monotonic()
    families = FAMILIES_OF.get(model, (model,))
    with ranks.agreed():
        artifact.refuse_other_content(out)
        device, prepared = _begun(history, families, settings, ranks)
    history, folds = prepared.history, prepared.folds
    networks, losses = fit_families(
        families, folds, settings, device, on_progress, ranks, prepared.labels
    )
    ranks.part()
    scoring, scores, share_explained = scored(networks, prepared, settings, device)
    rule = IncidentRule(*parse_trigger(settings.trigger), settings.recovery)
    calibration = calibrate(scores, rule, settings.false_alarms_per_day)
    if history.n_beyond:
        calibration = calibration.of_part()
    detector = Detector(
        history.sensors, networks, prepared.scaling, scoring, calibration.threshold
    )
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
        scaling_gain=prepared.scaling_gain,
        n_steps=steps_of_family(folds, settings),
        losses=losses,
        score_B=scores.score_B / calibration.threshold,
        time_s_B=scores.time_s_B,
        explained=share_explained,
        usual=usual_readings(
            history.values_NF,
            folds.folds[0].training.flat_MF,
            history.unit_N,
            history.time_s_N,
            folds.used_N,
        ),
        versions=_versions(),
    )
    golden_NF = _golden_readings(history, folds, scores, settings.window)
    reference_BTF = reference_windows(folds.folds[0].training)
    whole_BTF = whole_windows(folds.folds[0].training)
    if on_ready is not None:
        on_ready(detector, rule)
    loaded = artifact.save(out, detector, golden_NF, reference_BTF, manifest, whole_BTF)
    return Trained(loaded, calibration, scores, folds, fit_seconds)


def help_train(
    history: History, model: str, settings: TrainerSettings, ranks: Ranks
) -> None:
    """Fit the networks together with the process that calls `train` on the same.

    Raises:
        InputError: as `train` does.
    """
    families = FAMILIES_OF.get(model, (model,))
    with ranks.agreed():
        device, prepared = _begun(history, families, settings, ranks)
    fit_families(
        families,
        prepared.folds,
        settings,
        device,
        _no_one_listens,
        ranks,
        prepared.labels,
    )
    ranks.part()


def check_score(families: tuple[str, ...], settings: TrainerSettings) -> None:
    """Raise InputError if networks of these families cannot score as asked."""
    strangers = [family for family in families if family not in VARIATIONAL]
    if settings.score != "residual" and strangers:
        raise InputError(
            f"score {settings.score!r} is made by a VAE, not by {strangers[0]!r}; "
            f"choose --model {' or '.join(VARIATIONAL)}"
        )


def _begun(
    history: History, families: tuple[str, ...], settings: TrainerSettings, ranks: Ranks
) -> tuple[torch.device, Prepared]:
    check_score(families, settings)
    torch.set_num_threads(settings.threads)
    return ranks.device(settings.device), prepare(history, settings)


def scored(
    networks: tuple[Network, ...],
    prepared: Prepared,
    settings: TrainerSettings,
    device: torch.device,
) -> tuple[Scoring, HeldOutScores, float]:
    """How to score, what it says of the held-out windows, and what networks explain.

    Args:
        networks: fitted on the folds, on `device`.
        prepared: what they were fitted on.
        settings: of the score.
        device: where to compute.
    """
    folds = prepared.folds
    rows = held_out_rows(networks, folds, device)
    by_residual = fit_residual_scoring(
        rows, prepared.is_scored_F, prepared.drift_F, settings.max_span
    )
    share_explained = explained(rows, by_residual)
    labels = prepared.labels
    if labels is not None and settings.score == "residual":
        by_residual = with_signatures(
            by_residual,
            rows,
            anomalous_residuals(by_residual, labels, networks, device),
            silenced_residuals(by_residual, labels, networks, device),
        )
    scoring: Scoring = by_residual
    measure_BC = rows.residuals(by_residual.trust_F)
    if settings.score != "residual":
        has_kl = settings.score == "elbo"
        measure_BC = held_out_measures(networks, ElboScoring(has_kl, 1.0), folds, device)
        scoring = fit_elbo_scoring(measure_BC, has_kl, settings.window)
    series_B, n_before_B = folds.series_B, rows.n_before_B
    # Longest arrays of all: not kept while scores are made of them.
    del rows
    surprise = scoring.surprise(measure_BC, np.arange(len(series_B)), n_before_B)
    time_s_B = np.concatenate([fold.held_out.time_s_B for fold in folds.folds])
    return scoring, HeldOutScores(surprise.score_B, series_B, time_s_B), share_explained


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


def _no_one_listens(done: float, loss: float) -> None:
    """The first process shows how far it is."""


def _versions() -> dict[str, str]:
    packages = ("sensor-anomaly-pipeline", "torch", "numpy", "safetensors")
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
