"""From history to a detector: split, scale, fit, calibrate, write."""

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
from pipeline.detector.detector import Detector, unit_threshold
from pipeline.detector.families import build_network
from pipeline.detector.manifest import (
    SCHEMA,
    FilePart,
    IncidentPart,
    Manifest,
    ModelPart,
    ScalerPart,
    ThresholdPart,
    TrainingPart,
)
from pipeline.detector.network import NetworkShape, default_shape
from pipeline.detector.scaler import Scaler
from pipeline.records import FloatArray
from pipeline.score import Scorer, choose_device
from pipeline.settings import parse_trigger
from pipeline.times import iso_time
from pipeline.trigger import IncidentRule
from trainer.baselines import reference_windows
from trainer.calibrate import Calibration, calibrate
from trainer.fit import Epoch, FitSettings, Fitted, fit_network
from trainer.history import History
from trainer.settings import TrainerSettings
from trainer.split import Parts, split, without_unseen_sensors

N_GOLDEN = 16


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it, for whoever reports it."""

    loaded: LoadedDetector
    fitted: Fitted
    calibration: Calibration
    parts: Parts
    fit_seconds: float


def train(
    history: History,
    family: str,
    settings: TrainerSettings,
    out: Path,
    on_progress: Callable[[float, Epoch | None], None],
) -> Trained:
    """Fit a detector on `history` and write its folder.

    Args:
        history: readings of one or several units.
        family: a key of `FAMILIES`.
        settings: how.
        out: the detector's folder; its name becomes the detector's.
        on_progress: see `fit_network`.

    Raises:
        InputError: the history is too short or its training part holds next to no values,
            or `out` holds something else.
    """
    began_s = time.monotonic()
    artifact.refuse_other_content(out)
    torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    parts = split(
        history,
        settings.window,
        settings.stride,
        settings.validation_fraction,
        settings.calibration_fraction,
    )
    history, parts = without_unseen_sensors(history, parts)
    scaler = Scaler.fit(history.values_NF[parts.training_N])
    shape = _shape(settings, len(history.sensors))
    torch.manual_seed(settings.seed)
    network = build_network(family, shape)
    fitted = fit_network(
        network,
        scaler,
        parts.training,
        parts.validation,
        _fit_settings(settings),
        device,
        on_progress,
    )
    rule = IncidentRule(*parse_trigger(settings.trigger), settings.recovery)
    uncalibrated = unit_threshold(history.sensors, network, scaler)
    error_B = Scorer(uncalibrated, device).score(parts.calibration).score_B
    calibration = calibrate(
        error_B,
        parts.calibration_unit_B,
        parts.calibration_time_s_B,
        rule,
        settings.false_alarms_per_day,
    )
    network.cpu()
    detector = Detector(history.sensors, network, scaler, calibration.threshold)
    fit_seconds = time.monotonic() - began_s
    manifest = Manifest(
        schema=SCHEMA,
        name=out.resolve().name,
        sensors=list(history.sensors),
        model=ModelPart(family, shape.window, shape.hidden, shape.latent),
        scaler=ScalerPart(scaler.mean_F.tolist(), scaler.scale_F.tolist()),
        threshold=_threshold_part(calibration, settings),
        incident=IncidentPart((rule.n_over, rule.n_last), rule.n_recovery),
        training=_training_part(history, parts, fitted, settings),
        versions=_versions(),
        weights=FilePart("", ""),
        golden=FilePart("", ""),
        reference=FilePart("", ""),
    )
    golden_BTF = _golden_windows(parts, error_B)
    reference_BTF = reference_windows(parts.training)
    loaded = artifact.save(out, detector, golden_BTF, reference_BTF, manifest)
    return Trained(loaded, fitted, calibration, parts, fit_seconds)


def _shape(settings: TrainerSettings, n_sensors: int) -> NetworkShape:
    by_rule = default_shape(settings.window, n_sensors)
    return NetworkShape(
        window=settings.window,
        n_sensors=n_sensors,
        hidden=settings.hidden or by_rule.hidden,
        latent=settings.latent or by_rule.latent,
    )


def _fit_settings(settings: TrainerSettings) -> FitSettings:
    return FitSettings(
        epochs=settings.epochs,
        patience=settings.patience,
        warmup_epochs=settings.warmup_epochs,
        batch_windows=settings.batch_windows,
        epoch_windows=settings.epoch_windows,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )


def _golden_windows(parts: Parts, error_B: FloatArray) -> FloatArray:
    """Windows from the least to the most anomalous of the calibration part."""
    by_error_B = np.argsort(error_B, kind="stable")
    n_golden = min(N_GOLDEN, len(by_error_B))
    ranks = np.linspace(0, len(by_error_B) - 1, n_golden).astype(np.int64)
    return parts.calibration.gather(by_error_B[ranks])


def _threshold_part(calibration: Calibration, settings: TrainerSettings) -> ThresholdPart:
    at_most = calibration.at_most_per_day
    return ThresholdPart(
        value=calibration.threshold,
        method="lowest threshold within the rate, on a held-out part",
        asked_false_alarms_per_unit_day=settings.false_alarms_per_day,
        observed_false_alarms=calibration.n_false_alarms,
        calibration_unit_days=calibration.unit_days,
        expected_false_alarms_per_unit_day=calibration.expected_per_day,
        at_most_false_alarms_per_unit_day=at_most if np.isfinite(at_most) else None,
        is_shown=calibration.is_shown,
    )


def _training_part(
    history: History, parts: Parts, fitted: Fitted, settings: TrainerSettings
) -> TrainingPart:
    return TrainingPart(
        first_time=iso_time(float(history.time_s_N.min())),
        last_time=iso_time(float(history.time_s_N.max())),
        n_units=len(history.units),
        n_rows=len(history),
        data_digest=history.digest(),
        n_windows=parts.n_windows(),
        n_epochs=len(fitted.epochs),
        best_epoch=fitted.best.number,
        validation_loss=fitted.best.validation_loss,
        seed=settings.seed,
        settings=settings.model_dump(mode="json"),
        left_out=[
            *history.notes,
            *(f"{n} rows left out: {reason}" for reason, n in parts.n_left_out.items()),
        ],
    )


def _versions() -> dict[str, str]:
    packages = ("sensor-anomaly-pipeline", "torch", "numpy", "safetensors")
    return {"python": platform.python_version(), **{p: version(p) for p in packages}}
