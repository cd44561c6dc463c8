"""What a detector's manifest says of it."""

import numpy as np

from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.manifest import SCHEMA, Manifest
from pipeline.detector.manifest_parts import (
    ElboPart,
    FilePart,
    IncidentPart,
    NetworkPart,
    ResidualPart,
    ScalerPart,
    SignaturePart,
    StatisticPart,
    ThresholdPart,
    TrainingPart,
    UsualPart,
)
from pipeline.detector.residual import ResidualScoring
from pipeline.detector.scaling import Scaling
from pipeline.detector.scoring import Scoring
from pipeline.drift.score_bins import score_counts
from pipeline.records import FloatArray, TimeArray
from pipeline.times import iso_time
from pipeline.trigger import IncidentRule
from trainer.calibrate import Calibration
from trainer.fit import Losses
from trainer.history import History
from trainer.settings import TrainerSettings
from trainer.split import Folds
from trainer.usual import usual_score_psi


def manifest_of(
    name: str,
    detector: Detector,
    families: tuple[str, ...],
    calibration: Calibration,
    rule: IncidentRule,
    history: History,
    folds: Folds,
    settings: TrainerSettings,
    scaling_gain: float,
    n_steps: int,
    losses: dict[str, Losses],
    score_B: FloatArray,
    time_s_B: TimeArray,
    explained: float,
    usual: UsualPart,
    versions: dict[str, str],
) -> Manifest:
    """The manifest of a detector that was just trained, its files not yet written.

    `score_B` are the normalised scores of the held-out windows, `time_s_B` their times.
    """
    return Manifest(
        schema=SCHEMA,
        name=name,
        sensors=list(detector.sensors),
        networks=[
            NetworkPart(
                family,
                network.shape.window,
                network.shape.hidden,
                network.shape.latent,
                network.shape.n_members,
            )
            for family, network in zip(families, detector.networks, strict=True)
        ],
        scaler=scaler_part(detector.scaling, scaling_gain),
        score=score_part(detector.scoring),
        threshold=_threshold_part(calibration, settings, score_B, time_s_B),
        incident=IncidentPart((rule.n_over, rule.n_last), rule.n_recovery),
        training=TrainingPart(
            first_time=iso_time(float(history.time_s_N.min())),
            last_time=iso_time(float(history.time_s_N.max())),
            n_units=len(history.units),
            n_rows=history.n_rows,
            data_digest=history.digest(),
            n_windows=folds.n_windows(),
            n_steps=n_steps,
            losses={family: each.last for family, each in losses.items()},
            loss_curves={family: each.curve for family, each in losses.items()},
            explained=explained,
            seed=settings.seed,
            settings=settings.model_dump(mode="json"),
            left_out=[
                *history.notes,
                *(f"{n} rows left out: {reason}" for reason, n in folds.n_left_out.items()),
            ],
            usual=usual,
        ),
        versions=versions,
        weights=FilePart("", ""),
        golden=FilePart("", ""),
        reference=FilePart("", ""),
    )


def scaler_part(scaling: Scaling, gain: float) -> ScalerPart:
    """How a detector scales, as its manifest says it; see `Choice.gain`."""
    return ScalerPart(
        kind="per unit" if scaling.units else "pooled",
        gain=gain,
        mean=scaling.pooled.mean_F.tolist(),
        scale=scaling.pooled.scale_F.tolist(),
        units=list(scaling.units),
    )


def score_part(scoring: Scoring) -> ResidualPart | ElboPart:
    """How a detector scores, as its manifest says it."""
    if isinstance(scoring, ElboScoring):
        return ElboPart(scoring.has_kl, scoring.limit)
    if not isinstance(scoring, ResidualScoring):
        raise TypeError(f"no manifest says how {type(scoring).__name__} scores")
    return ResidualPart(
        trust=scoring.trust_F.tolist(),
        scored=scoring.is_scored_F.tolist(),
        statistics=[
            StatisticPart(
                statistic.kind,
                statistic.span,
                statistic.scale_F.tolist(),
                statistic.typical_F.tolist(),
                statistic.limit,
            )
            for statistic in scoring.statistics
        ],
        signatures=[
            SignaturePart(
                signature.feature,
                signature.span,
                signature.scale_F.tolist(),
                signature.center_F.tolist(),
                signature.direction_KF.tolist(),
                signature.usual,
                signature.spread,
                signature.weight,
            )
            for signature in scoring.signatures
        ],
    )


def _threshold_part(
    calibration: Calibration,
    settings: TrainerSettings,
    score_B: FloatArray,
    time_s_B: TimeArray,
) -> ThresholdPart:
    at_most = calibration.at_most_per_day
    return ThresholdPart(
        value=calibration.threshold,
        method=calibration.method,
        asked_false_alarms_per_unit_day=settings.false_alarms_per_day,
        observed_false_alarms=calibration.n_false_alarms,
        calibration_unit_days=calibration.unit_days,
        expected_false_alarms_per_unit_day=calibration.expected_per_day,
        at_most_false_alarms_per_unit_day=at_most if np.isfinite(at_most) else None,
        limited_by=calibration.limited_by,
        score_counts=score_counts(score_B).tolist(),
        score_psi=usual_score_psi(score_B, time_s_B),
    )
