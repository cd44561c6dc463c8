"""The threshold: from scores of the calibration part, at the rate that was asked for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.events import watched_s
from pipeline.records import FloatArray, IntArray, TimeArray, group_starts
from pipeline.trigger import IncidentRule, UnitState, transitions

MAX_CANDIDATES = 500
"""Thresholds tried, from the highest score down."""
MAX_SHARE_OVER = 0.1
"""Of normal readings above the threshold, whatever rate is asked for: below that incidents
melt into one that hardly ever ends, and a count of incidents means nothing."""
MARGIN = 1.0 + 1e-6
"""A threshold is put this little above a score, so that the score stays below it."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold and what it was measured to mean. Rates are per unit and day."""

    threshold: float
    n_false_alarms: int
    """Incidents in the calibration part."""
    unit_days: float
    """How long the calibration part was watched, summed over units."""
    expected_per_day: float
    at_most_per_day: float
    """Upper end of the one-sided 95 % interval."""
    is_shown: bool
    """Whether the part is long enough to show the rate that was asked for."""


def calibrate(
    error_B: FloatArray,
    unit_B: IntArray,
    time_s_B: TimeArray,
    rule: IncidentRule,
    false_alarms_per_day: float,
) -> Calibration:
    """Find the lowest threshold that keeps to the rate, counted in incidents.

    From the highest score down, as long as there are no more incidents than the rate allows
    over the part's length. Going down, not up: far below, all incidents melt into one.

    Args:
        error_B: the network's errors on windows it did not train on, all taken as normal.
        unit_B: their units; those of one unit together, in the order of time.
        time_s_B: times of the windows' newest readings, seconds since the epoch. Units may
            differ in how often they come, and several may come at one time.
        rule: when scores become an incident.
        false_alarms_per_day: incidents to accept, per unit and day.
    """
    watched = (watched_s(time_s_B[begin:end]) for begin, end in _bounds(unit_B))
    unit_days = sum(watched) / DAY_S
    # There are no more incidents than windows, whatever rate is asked for.
    n_allowed = math.floor(min(false_alarms_per_day * unit_days, len(error_B)))
    threshold = math.nan
    n_false_alarms = 0
    for candidate in _candidates(error_B):
        n = count_incidents(error_B, unit_B, candidate, rule)
        if n > n_allowed:
            break
        threshold, n_false_alarms = candidate, n
    return Calibration(
        threshold=threshold,
        n_false_alarms=n_false_alarms,
        unit_days=unit_days,
        expected_per_day=n_false_alarms / unit_days if unit_days else 0.0,
        at_most_per_day=(
            poisson_upper(n_false_alarms) / unit_days if unit_days else math.inf
        ),
        is_shown=n_allowed >= 1,
    )


def count_incidents(
    error_B: FloatArray, unit_B: IntArray, threshold: float, rule: IncidentRule
) -> int:
    """Incidents that these errors open at this threshold, by the worker's own rule."""
    over_B = error_B >= threshold
    n_opened = 0
    for begin, end in _bounds(unit_B):
        changes = transitions(over_B[begin:end], rule, UnitState())
        n_opened += sum(opens for _, opens in changes)
    return n_opened


def poisson_upper(n_events: int, confidence: float = 0.95) -> float:
    """Largest mean of a Poisson count that still gives `n_events` or fewer with 1 - conf.

    Source: Garwood (1936), doi:10.1093/biomet/28.3-4.437.
    """
    low, high = 0.0, n_events + 10.0 * math.sqrt(n_events + 1.0)
    for _ in range(60):
        mean = (low + high) / 2
        total = sum(
            math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))
            for k in range(n_events + 1)
        )
        low, high = (mean, high) if total > 1 - confidence else (low, mean)
    return high


def _bounds(unit_B: IntArray) -> Iterator[tuple[int, int]]:
    """Where each unit's windows begin and end."""
    return pairwise([*group_starts(unit_B).tolist(), len(unit_B)])


def _candidates(error_B: FloatArray) -> Iterator[float]:
    """Thresholds just above scores: the highest ones, then ever fewer of those below."""
    descending = np.sort(error_B)[::-1].astype(np.float64)
    n_over = max(1, int(MAX_SHARE_OVER * len(descending)))
    n_tried = min(MAX_CANDIDATES, n_over)
    ranks = np.unique(np.geomspace(1, n_over, n_tried).astype(np.int64)) - 1
    for rank in ranks.tolist():
        yield max(float(descending[rank]), 1e-12) * MARGIN
