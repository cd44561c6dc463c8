"""Fitting how residuals are scored, on held-out windows alone."""

import math

import numpy as np
from scipy import stats

from pipeline.detector.elbo import ElboScoring
from pipeline.detector.residual import Kind, ResidualScoring, Statistic
from pipeline.detector.residual_sums import Residuals
from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.held_out import Rows

STATISTICS: tuple[tuple[Kind, int], ...] = (
    ("burst", 1),
    ("burst", 8),
    ("burst", 32),
    ("shift", 4),
    ("shift", 32),
)
"""Kinds and spans in readings."""
NORMAL_SHARE = 0.999
"""Of normal readings below a statistic's limit."""
LONG_BURST_MARGIN = 1.15
"""On the limits of bursts over several readings: a short history says too little of how the
noise of sensors swells and ebbs together."""
MIN_SCALE = 0.02
"""Of a residual, in standard deviations of its sensor."""
N_DRIFT_BLOCKS = 8
TOLERATED_DRIFT = 0.1
DRIFT_WEIGHT = 10.0
MIN_VALUES = 8
"""Held-out values that a statistic's limit is taken from, at the least."""


def fit_residual_scoring(
    rows: Rows, is_scored_F: BoolArray, drift_F: FloatArray, max_span: int
) -> ResidualScoring:
    """Choose how far to trust reconstructions, and each statistic's scale and limit.

    Args:
        rows: the held-out windows' newest rows.
        is_scored_F: the sensors that scores are made of.
        drift_F: see `drift`.
        max_span: longest time scale, in readings, >= 1.
    """
    trust_F = trust(rows)
    residual_BF = rows.residuals(trust_F)[:, is_scored_F]
    # A sensor that wandered within the history will wander on: its residuals are
    # discounted, softly, by how far. Leaving it out would lose its faults altogether.
    wander_F = DRIFT_WEIGHT * np.maximum(drift_F[is_scored_F] - TOLERATED_DRIFT, 0.0)
    n_rows = len(residual_BF)
    share_F = np.maximum(rows.is_observed_BF[:, is_scored_F].mean(axis=0), 1.0 / n_rows)
    statistics = []
    for kind, span in STATISTICS:
        is_whole_B = rows.n_before_B >= span - 1
        if span > max_span or is_whole_B.sum() < MIN_VALUES:
            continue
        # Of one statistic at a time: several of them take twice the memory.
        residuals = Residuals(residual_BF)
        smooth_BF = (
            residual_BF if kind == "burst" else residuals.sums.mean(span, slice(None))
        )
        is_counted_B = is_whole_B if kind == "shift" else np.ones_like(is_whole_B)
        # Beside what was seen, at least the noise that so many readings leave.
        least = MIN_SCALE if kind == "burst" else MIN_SCALE / math.sqrt(span)
        # What was missing has no residual. Live it may be there, and must not look large.
        variance_F = _mean_squares(smooth_BF, is_counted_B) / share_F
        scale_F = np.sqrt(variance_F + least**2 + wander_F**2).astype(np.float32)
        unlimited = Statistic(kind, span, scale_F, np.zeros_like(scale_F), 1.0)
        loss_BF = unlimited.losses(residuals, np.flatnonzero(is_whole_B))
        limit = prediction_limit(unlimited.level(loss_BF), n_rows / (2 * span))
        statistics.append(
            Statistic(
                kind,
                span,
                scale_F,
                typical_F=loss_BF.mean(axis=0, dtype=np.float64).astype(np.float32),
                limit=margin(kind, span) * limit,
            )
        )
    return ResidualScoring(trust_F, is_scored_F, tuple(statistics))


def _mean_squares(x_BF: FloatArray, is_counted_B: BoolArray) -> FloatArray:
    """Each column's mean square over the rows that count, in 64 bits, one at a time."""
    columns = (x_BF[is_counted_B, sensor] for sensor in range(x_BF.shape[1]))
    return np.array([np.square(column, dtype=np.float64).mean() for column in columns])


def margin(kind: Kind, span: int) -> float:
    """What a statistic's prediction limit is multiplied by."""
    return LONG_BURST_MARGIN if kind == "burst" and span > 1 else 1.0


def fit_elbo_scoring(measure_BC: FloatArray, has_kl: bool, window: int) -> ElboScoring:
    """Choose the limit of an ELBO, from the held-out windows' parts of it."""
    level_B = measure_BC.sum(axis=1)
    return ElboScoring(has_kl, prediction_limit(level_B, len(level_B) / (2 * window)))


def trust(rows: Rows) -> FloatArray:
    """How much of its reconstruction to take off each sensor, 0 to 1, shape (F,).

    The slope of the least-squares line of observed on expected values. Where networks
    explain nothing of a sensor on readings they have not seen, the residual that is left
    is the distance from its mean.
    """
    observed_BF = np.where(rows.is_observed_BF, rows.observed_BF, 0.0)
    expected_BF = np.where(rows.is_observed_BF, rows.expected_BF, 0.0)
    product_F = (observed_BF * expected_BF).sum(axis=0, dtype=np.float64)
    square_F = np.square(expected_BF).sum(axis=0, dtype=np.float64)
    slope_F = product_F / np.maximum(square_F, 1e-9)
    return np.asarray(np.clip(slope_F, 0.0, 1.0), dtype=np.float32)


def explained(rows: Rows, scoring: ResidualScoring) -> float:
    """Share of the scored sensors' held-out variance that reconstructions take away."""
    mask_BF = rows.is_observed_BF & scoring.is_scored_F
    residual_BF = (rows.observed_BF - scoring.trust_F * rows.expected_BF)[mask_BF]
    total = np.square(rows.observed_BF[mask_BF], dtype=np.float64).sum()
    left = np.square(residual_BF, dtype=np.float64).sum()
    return float(1.0 - left / max(total, 1e-12))


def drift(observed_BF: FloatArray, unit_B: IntArray) -> FloatArray:
    """How far each sensor wanders: the variance of 8 block means over its variance, 0 to 1.

    Args:
        observed_BF: rows in the order of units and time.
        unit_B: their units. The mean over units counts.
    """
    drifts, weights = [], []
    for unit in np.unique(unit_B):
        unit_NF = observed_BF[unit_B == unit].astype(np.float64)
        if len(unit_NF) < N_DRIFT_BLOCKS:
            continue
        blocks = np.array_split(unit_NF, N_DRIFT_BLOCKS)
        between_F = np.var([block.mean(axis=0) for block in blocks], axis=0)
        drifts.append(between_F / np.maximum(unit_NF.var(axis=0), 1e-12))
        weights.append(len(unit_NF))
    if not drifts:
        return np.zeros(observed_BF.shape[1], dtype=np.float32)
    return np.asarray(np.average(drifts, axis=0, weights=weights), dtype=np.float32)


def prediction_limit(level_B: FloatArray, n_independent: float) -> float:
    """The level that `NORMAL_SHARE` of further normal readings stay below.

    By Student's t on the logarithm, with as many degrees of freedom as the history holds
    independent stretches: a slow statistic of a short history is known badly, and its limit
    lies accordingly higher. The spread is that of the upper half about the median: the
    logarithm of a squared residual reaches far down, which says nothing of how far it
    reaches up. Never below the level that one in a hundred exceeded. Source: the prediction
    interval of a normal sample, Hahn & Meeker (1991), Statistical Intervals.

    Args:
        level_B: held-out levels, >= 0.
        n_independent: how many of them count as independent.
    """
    log_B = np.log(level_B.astype(np.float64) + 1e-6)
    median = float(np.median(log_B))
    n = max(n_independent, 3.0)
    upper_spread = math.sqrt(float(np.square(log_B[log_B >= median] - median).mean()))
    spread = upper_spread * math.sqrt(n / (n - 1.0)) * math.sqrt(1.0 + 1.0 / n)
    quantile = float(stats.t.ppf(NORMAL_SHARE, n - 1.0))
    # Not beyond what a float32 of the level could be, however short the history.
    by_spread = math.exp(min(median + quantile * spread, 60.0))
    return max(by_spread, float(np.quantile(level_B, 0.99)), 1e-6)
