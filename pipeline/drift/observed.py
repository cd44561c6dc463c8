"""What is measured, over time, of the detector in use and of the units that it watches."""

import math
import time
from functools import partial
from typing import NamedTuple

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.budget import DAY_S, OVER_S, Budget
from pipeline.drift.drift import Drift
from pipeline.drift.silent import Silent
from pipeline.drift.watched import Watched
from pipeline.metrics import WorkerMetrics
from pipeline.settings import DriftSettings
from pipeline.steps import Steps
from pipeline.turn import Turn

LOOK_EVERY_S = 15.0
"""Between two looks for silent units."""
GONE_AFTER_S = 60.0
"""Without partitions for so long a worker has none. In a rebalance it has none for less."""


class SilentUnit(NamedTuple):
    """A unit of which nothing is seen any more."""

    unit: str
    seen_s_ago: float


class Observed:
    """Owns what is measured over time: drift, and how often units that are watched have
    incidents, of one detector; how long units are watched, and which are silent, of all.

    Of a turn it is told the time; only who scrapes may ask at any.
    """

    def __init__(self, metrics: WorkerMetrics, settings: DriftSettings | None) -> None:
        """Start with nothing seen; without settings nobody is told of drift, nor of silent
        units."""
        self._metrics = metrics
        self._settings = settings
        self._digest = ""
        self._drift: Drift | None = None
        self._budget = Budget()
        self._watched = Watched()
        self._silent = Silent(settings.silent_after_s) if settings else None
        self._looked_for_silent_at_s = -math.inf
        self._had_partitions_at_s = -math.inf
        for over, over_s in OVER_S.items():
            rate = partial(self._per_unit_day, over_s)
            metrics.incidents_per_unit_day.labels(over).set_function(rate)

    def begin(self, loaded: LoadedDetector) -> None:
        """Measure this detector from now on, and begin at nothing."""
        self._digest = loaded.digest
        self._budget = Budget()
        # At 0, so that a rate over the first incident is not lost.
        self._metrics.detector_incidents_opened.labels(self._digest)
        self._metrics.detector_unit_days.labels(self._digest)
        if self._settings is not None:
            self._drift = Drift(loaded, self._metrics, self._settings)

    def observe(self, turn: Turn, now_s: float) -> None:
        """Learn from a turn's readings; of a replay only what they were like."""
        if self._drift is not None:
            self._drift.observe(turn, now_s)
        watched_s = 0.0
        for stretch in turn.stretches:
            arrived = stretch.windows.arrived
            watched_s += self._watched.extend(arrived)
            if self._silent is not None:
                self._silent.extend(arrived.row_G, now_s)
        if turn.records.is_replay:
            return
        unit_days = watched_s / DAY_S
        n_opened = sum(event.state == "opened" for event in turn.events)
        self._budget.add(n_opened, unit_days, now_s)
        self._metrics.unit_days_watched.inc(unit_days)
        self._metrics.detector_unit_days.labels(self._digest).inc(unit_days)
        self._metrics.detector_incidents_opened.labels(self._digest).inc(n_opened)

    def show(self, steps: Steps, n_partitions: int, now_s: float) -> list[SilentUnit]:
        """Show what is known, every now and then.

        Args:
            steps: knows the units.
            n_partitions: that are this worker's.
            now_s: of the monotonic clock.

        Returns:
            Units that have newly fallen silent.
        """
        if n_partitions:
            self._had_partitions_at_s = now_s
        if self._drift is not None:
            if now_s - self._had_partitions_at_s <= GONE_AFTER_S:
                self._drift.show(now_s)
            else:
                self._metrics.withdraw_drift(self._digest)
        return self._newly_silent(steps, now_s)

    def _newly_silent(self, steps: Steps, now_s: float) -> list[SilentUnit]:
        silent = self._silent
        if silent is None or now_s - self._looked_for_silent_at_s < LOOK_EVERY_S:
            return []
        self._looked_for_silent_at_s = now_s
        found = silent.look(steps.windows.newest_s_U, self._watched.usual_s_U, now_s)
        self._metrics.units_silent.set(len(found.rows))
        names = steps.units.names
        return [
            SilentUnit(names[row], silent.seen_s_ago(row, now_s))
            for row in found.newly.tolist()
        ]

    def _per_unit_day(self, over_s: float) -> float:
        # Asked by whoever scrapes, at any time.
        return self._budget.per_unit_day(over_s, time.monotonic())
