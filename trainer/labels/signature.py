"""Fitting what labelled events have in common, and how far that is to be believed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.detector.residual import ResidualScoring
from pipeline.detector.residual_sums import Residuals
from pipeline.detector.signature import Feature, Signature
from pipeline.records import FloatArray
from trainer.held_out import Rows
from trainer.labels.residuals import EventResiduals

FEATURES: tuple[Feature, ...] = ("offset", "size")
MAX_SPAN = 8
"""Readings that a feature is made of."""
MAX_KINDS = 8
"""Directions of a signature; the events that are most alike become one."""
MAX_WEIGHT = 0.12
SINGLE_WEIGHT: dict[Feature, float] = {"offset": 0.04, "size": 0.08}
"""Where one event is all that is known: nothing shows whether another will be like it."""
HALF_KNOWN = 24
"""Readings of the only event, from which half of the weight of its offset is believed: a
short one says little of where its sensors stand."""
FULLY_BELIEVED: dict[Feature, float] = {"offset": 4.0, "size": 2.0}
"""Resemblance of an event to the others, in standard deviations, from which on the weight
is the largest."""
MIN_VARIANCE = 0.02
"""Of a feature."""
MAX_NORMAL_ROWS = 50_000
"""Held-out readings, evenly spaced, that say how features are when all is normal."""


def with_signatures(
    scoring: ResidualScoring,
    rows: Rows,
    anomalous: EventResiduals,
    silenced: EventResiduals,
) -> ResidualScoring:
    """A scoring that knows what is labelled, where that proves to be of use.

    Args:
        scoring: as fitted on what is normal.
        rows: the held-out windows it was fitted on.
        anomalous: residuals of the scored sensors in events that are to be found.
        silenced: the same of what is to be silenced.
    """
    residual_BF = rows.residuals(scoring.trust_F)[:, scoring.is_scored_F]
    residuals = Residuals(residual_BF)
    signatures = []
    for events, sign in ((anomalous, 1.0), (silenced, -1.0)):
        for feature in FEATURES if events else ():
            empty = _empty(feature, scoring)
            whole = np.flatnonzero(rows.n_before_B >= empty.span - 1)
            step = max(len(whole) // MAX_NORMAL_ROWS, 1)
            normal_BF = empty.features(residuals, whole[::step])
            mean_EF = np.stack([_mean_of(empty, *event) for event in events])
            n_E = [len(rows_BF) - n_before for rows_BF, n_before in events]
            signature = fit_signature(empty, normal_BF, mean_EF, n_E, sign)
            if signature.weight != 0.0:
                signatures.append(signature)
    return replace(scoring, signatures=tuple(signatures))


def fit_signature(
    empty: Signature,
    normal_BF: FloatArray,
    mean_EF: FloatArray,
    n_E: Sequence[int],
    sign: float,
) -> Signature:
    """The directions of events, and a weight that says how far to believe them.

    Each event is held against the directions of the others. Where events have nothing in
    common, which is what scores without labels are for, the weight is 0.

    Args:
        empty: with feature, span and scale.
        normal_BF: the feature on normal readings.
        mean_EF: its mean over each event, E of them.
        n_E: readings of each event.
        sign: 1.0 for what is to be found, -1.0 for what is to be silenced.
    """
    center_F = normal_BF.mean(axis=0)
    covariance_FF = np.atleast_2d(np.cov(normal_BF.T.astype(np.float64)))
    variance_F = covariance_FF.diagonal()
    # As much again on the diagonal: few events say little of many sensors.
    ridge_FF = covariance_FF + np.diag(variance_F + MIN_VARIANCE)
    inverse_FF = np.linalg.inv(ridge_FF)
    event_EF = mean_EF.astype(np.float64) - center_F

    def directions(kinds_KF: FloatArray) -> FloatArray:
        direction_KF = kinds_KF @ inverse_FF
        spread_K = np.sqrt(np.einsum("kf,fg,kg->k", direction_KF, ridge_FF, direction_KF))
        return np.asarray(direction_KF / np.maximum(spread_K, 1e-9)[:, None])

    direction_KF = directions(_kinds(event_EF))
    normal_B = ((normal_BF - center_F) @ direction_KF.T).max(axis=1)
    usual, spread = float(normal_B.mean()), max(float(normal_B.std()), 1e-3)
    if len(n_E) == 1:
        weight = _weight_of_one(empty.feature, n_E[0])
    else:
        z_EE = (event_EF @ directions(event_EF).T - usual) / spread
        weight = _weight_of_many(empty.feature, z_EE)
    return replace(
        empty,
        center_F=center_F.astype(np.float32),
        direction_KF=direction_KF.astype(np.float32),
        usual=usual,
        spread=spread,
        weight=sign * weight,
    )


def _weight_of_one(feature: Feature, n_readings: int) -> float:
    share = n_readings / (n_readings + HALF_KNOWN) if feature == "offset" else 1.0
    return SINGLE_WEIGHT[feature] * share


def _weight_of_many(feature: Feature, z_EE: FloatArray) -> float:
    """By how far each event resembles the nearest other, less a standard error of it."""
    full = FULLY_BELIEVED[feature]
    np.fill_diagonal(z_EE, -np.inf)
    z_E = np.clip(z_EE.max(axis=1), -full, 2.0 * full)
    believed = z_E.mean() - z_E.std(ddof=1) / np.sqrt(len(z_E))
    return MAX_WEIGHT * float(np.clip(believed / full, 0.0, 1.0))


def _kinds(event_EF: FloatArray) -> FloatArray:
    """At most `MAX_KINDS` means of events that are alike."""
    kinds = list(event_EF)
    sizes = [1] * len(kinds)
    while len(kinds) > MAX_KINDS:
        unit_KF = np.array([k / max(float(np.linalg.norm(k)), 1e-9) for k in kinds])
        alike_KK = unit_KF @ unit_KF.T
        np.fill_diagonal(alike_KK, -np.inf)
        a, b = sorted(divmod(int(alike_KK.argmax()), len(kinds)))
        n = sizes[a] + sizes[b]
        kinds[a] = (sizes[a] * kinds[a] + sizes[b] * kinds[b]) / n
        sizes[a] = n
        del kinds[b], sizes[b]
    return np.array(kinds)


def _empty(feature: Feature, scoring: ResidualScoring) -> Signature:
    """Without a direction yet. Of the scale that bursts have, and the longest span to 8."""
    burst = next(s for s in scoring.statistics if s.kind == "burst")
    span = max(s.span for s in scoring.statistics if s.span <= MAX_SPAN)
    nothing_F = np.zeros_like(burst.scale_F)
    return Signature(
        feature, span, burst.scale_F, nothing_F, nothing_F[None], 0.0, 1.0, 0.0
    )


def _mean_of(empty: Signature, residual_BF: FloatArray, n_before: int) -> FloatArray:
    """The mean of the feature over an event."""
    at = np.arange(n_before, len(residual_BF))
    # An event at a series' beginning has no readings before it: its first are left out.
    whole = at[at >= empty.span - 1]
    at = whole if len(whole) else at[-1:]
    return np.asarray(empty.features(Residuals(residual_BF), at).mean(axis=0))
