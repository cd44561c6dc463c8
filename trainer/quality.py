"""How good one method is on labelled readings of several units."""

import math
from dataclasses import asdict, dataclass, field

import numpy as np

from pipeline.records import BoolArray, TimeArray
from trainer.detections import Detections, Tally
from trainer.ranking import Score, average_precision, vus_pr


@dataclass(frozen=True, slots=True)
class Quality:
    """One method on all units."""

    vus_pr: float
    """Mean over the units that have labels, as is the next; NaN without any."""
    average_precision: float
    detections: Detections

    def figures(self) -> dict[str, float]:
        """Every figure by its name."""
        ranking = {"vus_pr": self.vus_pr, "average_precision": self.average_precision}
        return ranking | asdict(self.detections)


@dataclass(slots=True)
class QualityTally:
    """Takes one unit after the other."""

    rankings: list[tuple[float, float]] = field(default_factory=list)
    """VUS-PR and average precision of each unit; NaN of one without labels."""
    _tally: Tally = field(default_factory=Tally)

    def add(
        self,
        label_N: BoolArray,
        score_N: Score,
        is_alert_N: BoolArray,
        time_s_N: TimeArray,
        period: int,
    ) -> None:
        """Count one unit.

        Args:
            label_N: whether each of its readings is anomalous.
            score_N: larger is more anomalous; 0 where there is none.
            is_alert_N: whether each was within an alert.
            time_s_N: when they were measured, seconds since the epoch.
            period: the widest tolerance of `vus_pr`.
        """
        volume = vus_pr(label_N, score_N, period)
        self.rankings.append((volume, average_precision(label_N, score_N)))
        self._tally.add(label_N, is_alert_N, time_s_N)

    def quality(self) -> Quality:
        """Over all units that were added."""
        volumes, precisions = zip(*self.rankings, strict=True)
        return Quality(_mean(volumes), _mean(precisions), self._tally.rates())


def _mean(values: tuple[float, ...]) -> float:
    """Of those that are defined; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
