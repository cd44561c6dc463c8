"""How well scores rank anomalous readings above normal ones, whatever the threshold."""

import numpy as np
import numpy.typing as npt

from pipeline.records import BoolArray, IntArray

Score = npt.NDArray[np.float64]

N_THRESHOLDS = 250
"""Of the surface that `vus_pr` takes the volume under."""
NO_PERIOD_WINDOW = 125
MIN_PERIOD, MAX_PERIOD = 3, 300
N_PERIOD_READINGS = 20_000
"""Readings that `vus_window` looks at, from the first."""


def precision_recall(label_N: BoolArray, score_N: Score) -> tuple[Score, Score]:
    """Precision and recall at every threshold, the highest first; equal scores are one.

    Args:
        label_N: whether each reading is anomalous; at least one is.
        score_N: finite; larger is more anomalous.
    """
    order = np.argsort(-score_N, kind="stable")
    label_N, score_N = label_N[order], score_N[order]
    is_last_of_ties = np.append(np.diff(score_N) != 0, True)
    n_true = np.cumsum(label_N)[is_last_of_ties]
    n_alerts = np.flatnonzero(is_last_of_ties) + 1
    return n_true / n_alerts, n_true / label_N.sum()


def average_precision(label_N: BoolArray, score_N: Score) -> float:
    """Area under the precision-recall curve as a sum of steps; equal scores are one step.

    Args:
        label_N: whether each reading is anomalous.
        score_N: finite; larger is more anomalous.

    Returns:
        0 to 1; NaN if nothing is labelled. Random scores reach the share of labels.
    """
    if not label_N.any():
        return float("nan")
    precision, recall = precision_recall(label_N, score_N)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def runs(flag_N: BoolArray) -> IntArray:
    """Where runs of True begin and end: shape (n, 2), the last index included."""
    edges = np.diff(flag_N.astype(np.int8), prepend=0, append=0)
    return np.column_stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1])


def vus_window(sensor_N: npt.NDArray[np.floating]) -> int:
    """The widest tolerance for `vus_pr`: the period of a sensor, as TSB-AD takes it.

    Args:
        sensor_N: a sensor's values, in the order of time.

    Returns:
        The lag (6 to 303 readings) of the strongest local maximum of the autocorrelation
        of the first 20,000 values; 125 where there is none, or where a value is missing.
    """
    values = np.asarray(sensor_N, dtype=np.float64)[:N_PERIOD_READINGS]
    n_lags = min(400, len(values) - 1)
    values = values - values.mean()
    n_padded = 1 << int(np.ceil(np.log2(2 * len(values))))
    spectrum = np.fft.rfft(values, n_padded)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum))[: n_lags + 1]
    if covariance[0] == 0.0 or not np.isfinite(covariance).all():
        return NO_PERIOD_WINDOW
    correlation = (covariance / covariance[0])[MIN_PERIOD:]
    inner = correlation[1:-1]
    is_peak = (inner > correlation[:-2]) & (inner > correlation[2:])
    peaks = np.flatnonzero(is_peak) + 1
    if len(peaks) == 0:
        return NO_PERIOD_WINDOW
    # Of equal peaks the last, as sorting in descending order from the right gives it.
    strongest = int(peaks[np.argsort(correlation[peaks])[::-1][0]])
    # As published, the bounds are held against the lag less the first lag looked at.
    if not MIN_PERIOD <= strongest <= MAX_PERIOD:
        return NO_PERIOD_WINDOW
    return strongest + MIN_PERIOD


def vus_pr(label_N: BoolArray, score_N: Score, window: int) -> float:
    """Volume under the precision-recall surface: mean over tolerances of 0 to `window`.

    A tolerance w widens each labelled run by w/2 readings on both sides, with a weight that
    falls from 1; a run is found at a threshold if one score in it is as high.

    Args:
        label_N: whether each reading is anomalous.
        score_N: finite; larger is more anomalous.
        window: widest tolerance, in readings.

    Returns:
        0 to 1; NaN if nothing is labelled. What random scores reach grows with the share
        and the length of labelled runs: 0.8 where most readings are labelled.

    Source: Paparrizos et al. (2022), doi:10.14778/3551793.3551830, in the form of TSB-AD,
    Liu & Paparrizos (2024): 250 thresholds at equal ranks.
    """
    n = len(label_N)
    events = runs(label_N)
    if len(events) == 0:
        return float("nan")
    descending = np.sort(score_N)[::-1]
    thresholds = descending[np.linspace(0, n - 1, N_THRESHOLDS).astype(np.int64)]
    # The first threshold, counted from the highest, that each score reaches.
    step_N = N_THRESHOLDS - np.searchsorted(thresholds[::-1], score_N, side="right")
    n_alerts = _cumulative(step_N)
    n_true = _cumulative(step_N[label_N])
    n_labelled = int(label_N.sum())
    steps = np.arange(N_THRESHOLDS)
    volume = 0.0
    for tolerance in range(window + 1):
        half = tolerance // 2
        weight_N = _fringe(events, tolerance, half, n)
        weight_N[label_N] = 0.0
        fringe = np.flatnonzero(weight_N)
        true = n_true + _cumulative(step_N[fringe], weight_N[fringe])
        first_step = _first_steps(step_N, _merged(events, half, n))
        found = np.searchsorted(np.sort(first_step), steps, side="right") / len(first_step)
        # As published: the labelled total grows by what of the fringe is alerted.
        n_wanted = n_labelled + (true - n_true) / 2
        recall = np.minimum(true / n_wanted, 1.0) * found
        volume += float(np.sum(np.diff(recall, prepend=0.0) * true / n_alerts))
    return volume / (window + 1)


def _cumulative(step_N: npt.NDArray[np.integer], weight_N: Score | None = None) -> Score:
    """How many readings (or what weight) reach each threshold, the highest first."""
    counts = np.bincount(step_N, weights=weight_N, minlength=N_THRESHOLDS + 1)
    return np.cumsum(counts[:N_THRESHOLDS]).astype(np.float64)


def _fringe(events: IntArray, tolerance: int, half: int, n: int) -> Score:
    """Weights of the readings around labelled runs, at most 1, shape (n,)."""
    weight_N = np.zeros(n)
    # Distance d from the run has the weight sqrt(1 - d / tolerance).
    falling = np.sqrt(1.0 - np.arange(1, half + 1) / max(tolerance, 1))
    for begin, end in events.tolist():
        after = weight_N[end + 1 : end + 1 + half]
        after += falling[: len(after)]
        before = weight_N[max(begin - half, 0) : begin]
        before += falling[: len(before)][::-1]
    return np.minimum(weight_N, 1.0)


def _merged(events: IntArray, half: int, n: int) -> IntArray:
    """Labelled runs widened by `half` on both sides, those that touch made one."""
    wide = events + np.array([-half, half])
    is_apart = wide[:-1, 1] < wide[1:, 0]
    begin = wide[np.append(True, is_apart), 0]
    end = wide[np.append(is_apart, True), 1]
    return np.column_stack([np.maximum(begin, 0), np.minimum(end, n - 1)])


def _first_steps(step_N: npt.NDArray[np.integer], spans: IntArray) -> IntArray:
    """The first threshold that a score in each span reaches. Spans are apart, in order."""
    # `reduceat` takes pairs of begin and end; an end behind the last reading it does not.
    padded = np.append(step_N, N_THRESHOLDS)
    bounds = (spans + np.array([0, 1])).ravel()
    return np.minimum.reduceat(padded, bounds)[::2]
