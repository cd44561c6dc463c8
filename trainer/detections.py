"""Alerts against labels, row by row: which readings, and which events, were told of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.events import watched_s
from pipeline.records import BoolArray, TimeArray
from trainer.ranking import runs

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Detections:
    """Rates of one method's alerts. NaN where there is nothing to take a rate of."""

    f1: float
    """Of readings, 0 to 1."""
    far: float
    """False alarm rate: percent of the readings without label that are alerts."""
    mar: float
    """Missed alarm rate: percent of the labelled readings that are none."""
    event_precision: float
    """Share of the alert runs that touch a labelled event; 0 without any alert."""
    event_recall: float
    """Share of the labelled events that an alert touches."""
    event_f1: float
    delay_median_s: float
    """From an event's first reading to its first alert, 0 if one was on; of those found."""
    delay_p90_s: float
    false_alarms_per_day: float
    """Alert runs that touch no event, per unit and day without label. How long that was:
    readings without label, each worth the mean time from one of its unit's readings to the
    next, of which a gap counts for at most 5 usual ones."""


@dataclass(slots=True)
class Tally:
    """Counts over the units that were added."""

    _n_true: int = 0
    _n_false: int = 0
    _n_missed: int = 0
    _n_quiet: int = 0
    _n_events: int = 0
    _n_alarms: int = 0
    _n_false_alarms: int = 0
    _normal_s: float = 0.0
    _delay_s: tuple[float, ...] = ()

    def add(self, label_N: BoolArray, is_alert_N: BoolArray, time_s_N: TimeArray) -> None:
        """Count one unit.

        Args:
            label_N: whether each of its readings is anomalous.
            is_alert_N: whether each raised, or was within, an alert.
            time_s_N: when they were measured, seconds since the epoch.
        """
        self._n_true += int((label_N & is_alert_N).sum())
        self._n_false += int((~label_N & is_alert_N).sum())
        self._n_missed += int((label_N & ~is_alert_N).sum())
        self._n_quiet += int((~label_N & ~is_alert_N).sum())
        self._normal_s += int((~label_N).sum()) * _mean_step_s(time_s_N)
        events, alarms = runs(label_N), runs(is_alert_N)
        # Runs are apart and in order: those that touch an event stand together.
        first_E = np.searchsorted(alarms[:, 1], events[:, 0], side="left")
        behind_E = np.searchsorted(alarms[:, 0], events[:, 1], side="right")
        is_found_E = first_E < behind_E
        began_s_E = time_s_N[events[is_found_E, 0]]
        told_s_E = time_s_N[alarms[first_E[is_found_E], 0]]
        self._delay_s += tuple(np.maximum(told_s_E - began_s_E, 0.0).tolist())
        n_labels_before = np.concatenate([[0], np.cumsum(label_N)])
        n_touched = n_labels_before[alarms[:, 1] + 1] - n_labels_before[alarms[:, 0]]
        self._n_events += len(events)
        self._n_alarms += len(alarms)
        self._n_false_alarms += int((n_touched == 0).sum())

    def rates(self) -> Detections:
        """What the counts come to."""
        n_wrong = self._n_false + self._n_missed
        recall = _share(len(self._delay_s), self._n_events)
        n_right_alarms = self._n_alarms - self._n_false_alarms
        precision = n_right_alarms / max(self._n_alarms, 1)
        return Detections(
            f1=_share(self._n_true, self._n_true + n_wrong / 2),
            far=100 * self._n_false / max(self._n_false + self._n_quiet, 1),
            mar=100 * self._n_missed / max(self._n_missed + self._n_true, 1),
            event_precision=precision,
            event_recall=recall,
            event_f1=harmonic_mean(precision, recall),
            delay_median_s=_quantile(self._delay_s, 0.5),
            delay_p90_s=_quantile(self._delay_s, 0.9),
            false_alarms_per_day=_share(self._n_false_alarms, self._normal_s / DAY_S),
        )


def harmonic_mean(precision: float, recall: float) -> float:
    """0 if both are 0; NaN if one is."""
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _mean_step_s(time_s_N: TimeArray) -> float:
    # Not the usual step: where clocks are coarse, several readings have the same time.
    return watched_s(np.sort(time_s_N)) / max(len(time_s_N) - 1, 1)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _quantile(values: Sequence[float], at: float) -> float:
    return float(np.quantile(values, at)) if values else float("nan")
