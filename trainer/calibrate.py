"""The threshold: from scores of held-out readings, at the rate that was asked for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from scipy import stats

from pipeline.events import watched_s
from pipeline.records import FloatArray, IntArray, TimeArray, group_starts
from pipeline.trigger import IncidentRule, UnitState, transitions

MIN_EXPECTED = 10.0
"""False alarms that the history must hold at the rate asked for, to be counted."""
MIN_PEAKS = 20
PEAK_SHARE = 0.1
MAX_PEAKS = 40
"""Highest peaks that the tail is fitted to."""
MAX_EXTRAPOLATION = 10.0
"""A history says nothing of alarms rarer than one in so many times its length."""
NORMAL_LIMIT = 0.97
"""Of a score in multiples of the statistics' limits. Each limit is exceeded by one normal
reading in a thousand, and there are several of them."""
MAX_CANDIDATES = 500
"""Thresholds tried, from the highest score down."""
MAX_SHARE_OVER = 0.1
"""Of normal readings above the threshold, whatever rate is asked for: below that incidents
melt into one that hardly ever ends, and a count of incidents means nothing."""
MARGIN = 1.0 + 1e-6
"""A threshold is put this little above a score, so that the score stays below it."""
DAY_S = 86_400.0
COUNTED, EXTRAPOLATED, LIMIT = "counted", "extrapolated", "prediction limit"
LimitedBy: TypeAlias = Literal["", "history", "max_readings", "scores"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold and what it was measured to mean. Rates are per unit and day."""

    threshold: float
    method: str
    """How it was found: see `calibrate`."""
    n_false_alarms: int
    """Incidents among the held-out readings."""
    unit_days: float
    """How long these were watched, summed over units."""
    expected_per_day: float
    at_most_per_day: float
    """Upper end of the one-sided 95 % interval."""
    limited_by: LimitedBy
    """Why the rate asked for is not promised: `history` is too short to show it, or what
    `max_readings` left of it; `scores` make no more incidents before these melt into one.
    Empty where nothing is in the way."""

    def of_part(self) -> "Calibration":
        """The same, where `max_readings` left out readings of the history.

        These might have shown the rate; not so where times do not advance.
        """
        if self.limited_by == "history" and self.unit_days:
            return replace(self, limited_by="max_readings")
        return self


@dataclass(frozen=True, slots=True)
class HeldOutScores:
    """Scores of readings that their networks were not trained on, all taken as normal."""

    score_B: FloatArray
    series_B: IntArray
    """Stretches without a gap; those of one together, in the order of time."""
    time_s_B: TimeArray
    """Seconds since the epoch. Units may differ in how often readings come, and several
    may come at one time."""

    def unit_days(self) -> float:
        """How long they were watched, summed over series."""
        spans = _bounds(self.series_B)
        return sum(watched_s(self.time_s_B[begin:end]) for begin, end in spans) / DAY_S


def calibrate(
    scores: HeldOutScores, rule: IncidentRule, false_alarms_per_day: float
) -> Calibration:
    """Find the lowest threshold that keeps to the rate, counted in incidents.

    Where the history would hold at least `MIN_EXPECTED` false alarms, by counting them.
    Where it would hold fewer, by the tail of their peaks: the peaks' logarithms above the
    lowest of them are taken as exponential, with the uncertainty of their mean, and carried
    on to the rate, at most to one in `MAX_EXTRAPOLATION` times the history. Where there are
    next to no peaks, by the limits of the statistics alone. Sources: Hill (1975),
    doi:10.1214/aos/1176343247; peaks over a threshold: Davison & Smith (1990),
    doi:10.1111/j.2517-6161.1990.tb01796.x.

    Args:
        scores: held-out scores.
        rule: when scores become an incident.
        false_alarms_per_day: incidents to accept, per unit and day.
    """
    unit_days = scores.unit_days()
    n_asked = false_alarms_per_day * unit_days
    if n_asked >= MIN_EXPECTED or unit_days == 0:
        method = COUNTED
        threshold, limited_by = _by_counting(scores, rule, n_asked)
    else:
        method, threshold, limited_by = _beyond_counting(scores, rule, n_asked)
    if unit_days == 0 or n_asked < 1.0:
        limited_by = "history"
    n = count_incidents(scores.score_B, scores.series_B, threshold, rule)
    # Of a history with few or no false alarms, the posterior mean by Jeffreys' prior.
    n_expected = n if method == COUNTED else n + 0.5
    if method == EXTRAPOLATED:
        n_expected = max(n_asked, 1.0 / MAX_EXTRAPOLATION)
    # The tail may promise more than the few that happened to be counted make likely.
    n_at_most = max(poisson_upper(n), n_expected)
    return Calibration(
        threshold=threshold,
        method=method,
        n_false_alarms=n,
        unit_days=unit_days,
        expected_per_day=n_expected / unit_days if unit_days else 0.0,
        at_most_per_day=n_at_most / unit_days if unit_days else math.inf,
        limited_by=limited_by,
    )


def count_incidents(
    score_B: FloatArray, series_B: IntArray, threshold: float, rule: IncidentRule
) -> int:
    """Incidents that these scores open at this threshold, by the worker's own rule."""
    n_opened = 0
    relative_B = score_B / np.float32(threshold)
    # Of a long history's thousands of series most stay below.
    reaching = set(series_B[relative_B >= 1.0].tolist())
    for begin, end in _bounds(series_B):
        if int(series_B[begin]) not in reaching:
            continue
        changes = transitions(relative_B[begin:end], rule, UnitState())
        n_opened += sum(opens for _, opens in changes)
    return n_opened


def highest_peaks(scores: HeldOutScores, rule: IncidentRule) -> FloatArray:
    """The peaks of the scores that could open incidents, declustered, highest first.

    A score opens an incident once k of the last n reach the threshold, so the k-th largest
    of the last n is what counts. Two peaks are of one cluster unless the rule's recovery
    lies between them. At most `MAX_PEAKS`, all among the highest tenth of the scores.
    """
    decisive = [
        _decisive(scores.score_B[begin:end], rule)
        for begin, end in _bounds(scores.series_B)
    ]
    lowest = float(np.quantile(np.concatenate(decisive), 1.0 - PEAK_SHARE))
    peaks: list[float] = []
    for decisive_B in decisive:
        # The highest come first, so that no series has more of those that are kept.
        for _ in range(MAX_PEAKS):
            top = int(decisive_B.argmax())
            if decisive_B[top] <= lowest:
                break
            peaks.append(float(decisive_B[top]))
            first = max(top - rule.n_recovery, 0)
            decisive_B[first : top + rule.n_recovery + 1] = 0.0
    return np.sort(np.array(peaks, dtype=np.float32))[::-1][:MAX_PEAKS]


def by_tail(peaks: FloatArray, n_wanted: float) -> float:
    """The level that `n_wanted` further peaks exceed on average in as long a history.

    Args:
        peaks: the highest peaks of a history, highest first.
        n_wanted: fewer than there are peaks.
    """
    lowest = float(peaks[-1])
    n_above = len(peaks) - 1
    mean_excess = float(np.mean(np.log(peaks[:-1] / lowest)))
    # The predictive distribution: the mean excess is itself known from n peaks alone.
    excess = n_above * mean_excess * ((n_above / n_wanted) ** (1.0 / n_above) - 1.0)
    return lowest * math.exp(max(excess, 0.0))


def poisson_upper(n_events: int, confidence: float = 0.95) -> float:
    """Largest mean of a Poisson count that still gives `n_events` or fewer with 1 - conf.

    Source: Garwood (1936), doi:10.1093/biomet/28.3-4.437.
    """
    return float(stats.chi2.ppf(confidence, 2 * (n_events + 1)) / 2.0)


def _beyond_counting(
    scores: HeldOutScores, rule: IncidentRule, n_asked: float
) -> tuple[str, float, LimitedBy]:
    """Method, threshold and what limits it, where the history holds few alarms as asked."""
    peaks = highest_peaks(scores, rule)
    if len(peaks) < MIN_PEAKS:
        # Each incident has a peak. With as many as asked, a longer history would do.
        return LIMIT, NORMAL_LIMIT, "scores" if len(peaks) < n_asked else "history"
    threshold = by_tail(peaks, max(n_asked, 1.0 / MAX_EXTRAPOLATION))
    # Less than one alarm says little: never below the limits.
    if n_asked < 1.0 and threshold < NORMAL_LIMIT:
        return LIMIT, NORMAL_LIMIT, "history"
    return EXTRAPOLATED, threshold, ""


def _by_counting(
    scores: HeldOutScores, rule: IncidentRule, n_asked: float
) -> tuple[float, LimitedBy]:
    """The lowest threshold with no more incidents than asked, and what limits it.

    Going down from the highest score, not up: far below, all incidents melt into one.
    """
    # There are no more incidents than windows, whatever rate is asked for.
    n_allowed = math.floor(min(n_asked, len(scores.score_B)))
    n_counted, threshold = 0, math.nan
    for candidate in _candidates(scores.score_B):
        n = count_incidents(scores.score_B, scores.series_B, candidate, rule)
        if n > n_allowed:
            return threshold, ""
        n_counted, threshold = n, candidate
    return threshold, "scores" if n_counted < n_allowed else ""


def _decisive(score_B: FloatArray, rule: IncidentRule) -> FloatArray:
    """The k-th largest of the last n scores at each."""
    padded = np.concatenate([np.zeros(rule.n_last - 1, dtype=np.float32), score_B])
    views_BN = np.lib.stride_tricks.sliding_window_view(padded, rule.n_last)
    return np.sort(views_BN, axis=1)[:, -rule.n_over].copy()


def _bounds(series_B: IntArray) -> Iterator[tuple[int, int]]:
    """Where each series begins and ends."""
    return pairwise([*group_starts(series_B).tolist(), len(series_B)])


def _candidates(score_B: FloatArray) -> Iterator[float]:
    """Thresholds just above scores: the highest ones, then ever fewer of those below."""
    descending = np.sort(score_B)[::-1].astype(np.float64)
    n_over = max(1, int(MAX_SHARE_OVER * len(descending)))
    n_tried = min(MAX_CANDIDATES, n_over)
    ranks = np.unique(np.geomspace(1, n_over, n_tried).astype(np.int64)) - 1
    for rank in ranks.tolist():
        yield max(float(descending[rank]), 1e-12) * MARGIN
