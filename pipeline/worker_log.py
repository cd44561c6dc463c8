"""What the worker says of itself: counters, and lines."""

import math
import time
from collections.abc import Sequence
from functools import partial

import structlog

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.budget import DAY_S, OVER_S, Budget
from pipeline.drift.drift import Drift
from pipeline.drift.silent import Silent
from pipeline.drift.watched import Watched
from pipeline.incident import Event
from pipeline.log_limit import at_most
from pipeline.metrics import WorkerMetrics
from pipeline.records import Reject
from pipeline.settings import DriftSettings
from pipeline.steps import Steps
from pipeline.turn import ShadowTurn, Turn
from pipeline.watch import AsBefore, Refused

log = structlog.get_logger()

LOOK_EVERY_S = 15.0
"""Between two looks for silent units."""


class WorkerLog:
    """Owns what is observed over time: drift, and how often units that are watched have
    incidents."""

    def __init__(
        self, metrics: WorkerMetrics, device_type: str, drift: DriftSettings | None
    ) -> None:
        """Start with nothing seen; without settings nobody is told of drift."""
        self._metrics = metrics
        self._device_type = device_type
        self._drift_settings = drift
        self._drift: Drift | None = None
        self._watched = Watched()
        self._silent = Silent(drift.silent_after_s) if drift else None
        self._looked_for_silent_at_s = -math.inf
        self._budget = Budget()
        for over, over_s in OVER_S.items():
            rate = partial(self._per_unit_day, over_s)
            metrics.incidents_per_unit_day.labels(over).set_function(rate)

    def show(self, turn: Turn, unknown: Sequence[str]) -> None:
        """Count what one turn came to, and log what is worth a line.

        Args:
            turn: what was published.
            unknown: units that the detector was not trained on, first seen.
        """
        self._count(turn)
        self._show_rejects(turn.rejects)
        self._show_incidents(turn.events)
        self._show_unknown(unknown)

    def show_replay(self, turn: Turn) -> None:
        """Count what was only read again: nothing of it is new but what is remembered."""
        self._metrics.readings_replayed.inc(len(turn.taken.decoded))
        self._observe(turn)

    def show_drift(self) -> None:
        """Show how far readings have moved, every now and then."""
        if self._drift is not None:
            self._drift.show(time.monotonic())

    def show_silent(self, steps: Steps) -> None:
        """Show of which units nothing is seen any more, every now and then."""
        now_s = time.monotonic()
        if self._silent is None or now_s - self._looked_for_silent_at_s < LOOK_EVERY_S:
            return
        self._looked_for_silent_at_s = now_s
        found = self._silent.look(steps.windows.newest_s_U, self._watched.usual_s_U, now_s)
        self._metrics.units_silent.set(len(found.rows))
        for row, more in at_most(found.newly.tolist()):
            seen_s_ago = round(self._silent.seen_s_ago(row, now_s))
            unit = steps.units.names[row]
            log.warning("unit_silent", unit=unit, seen_s_ago=seen_s_ago, **more)

    def _observe(self, turn: Turn) -> float:
        """Learn from a turn's readings; return how long their units were watched."""
        if self._drift is not None:
            self._drift.observe(turn, time.monotonic())
        watched_s = 0.0
        for stretch in turn.stretches:
            arrived = stretch.windows.arrived
            watched_s += self._watched.extend(arrived)
            if self._silent is not None:
                self._silent.extend(arrived.row_G, time.monotonic())
        return watched_s

    def _per_unit_day(self, over_s: float) -> float:
        return self._budget.per_unit_day(over_s, time.monotonic())

    def show_detector(self, loaded: LoadedDetector) -> None:
        """Show which detector is in use."""
        manifest = loaded.manifest
        self._metrics.show_detector(
            manifest.name, loaded.digest, manifest.model, time.time()
        )
        if self._drift_settings is not None:
            self._drift = Drift(loaded, self._metrics, self._drift_settings)

    def show_successor(
        self, old: LoadedDetector, new: LoadedDetector, n_records: int
    ) -> None:
        """Show that another detector is in use, `n_records` being read again for it."""
        self._metrics.detector_loads.labels("taken").inc()
        self.show_detector(new)
        log.info(
            "detector_taken",
            detector=new.manifest.name,
            digest=new.digest,
            before=old.digest,
            n_records_to_replay=n_records,
        )

    def show_refused(self, reason: str) -> None:
        """Show that the folder holds what must not be used."""
        self._metrics.detector_loads.labels("refused").inc()
        self._metrics.detector_refused.set(1)
        log.error("detector_refused", detail=reason)

    def show_as_before(self) -> None:
        """Show that the folder holds the detector in use."""
        self._metrics.detector_refused.set(0)

    def show_shadow(self, found: Steps | Refused | AsBefore, is_there: bool = True) -> None:
        """Show what became of the folder of the detector that scores alongside, and
        whether there still is one."""
        self._metrics.shadow_refused.set(isinstance(found, Refused))
        if isinstance(found, Refused):
            if not is_there:
                self._metrics.forget_shadow()
            log.error("shadow_refused", detail=found.reason)
        elif isinstance(found, Steps):
            loaded = found.loaded
            manifest = loaded.manifest
            self._metrics.show_shadow(manifest.name, loaded.digest, manifest.model)
            log.info("shadow_taken", detector=manifest.name, digest=loaded.digest)

    def _count_shadow(self, shadow: ShadowTurn) -> None:
        self._metrics.shadow_score.observe(shadow.score_B)
        self._metrics.shadow_incidents_opened.inc(shadow.n_opened)
        for found_by, n in shadow.found_by.items():
            self._metrics.incidents_compared.labels(found_by).inc(n)

    def _count(self, turn: Turn) -> None:
        metrics = self._metrics
        unit_days = self._observe(turn) / DAY_S
        metrics.unit_days_watched.inc(unit_days)
        n_opened = sum(event.state == "opened" for event in turn.events)
        self._budget.add(n_opened, unit_days, time.monotonic())
        metrics.records_read.inc(len(turn.records.records))
        metrics.readings.inc(len(turn.taken.decoded))
        metrics.batch_readings.observe(len(turn.taken.decoded))
        for stretch in turn.stretches:
            metrics.readings_late.inc(stretch.windows.n_late)
            metrics.units_evicted.inc(len(stretch.windows.anew))
            metrics.windows_scored.labels(self._device_type).inc(len(stretch.windows))
            metrics.score.observe(stretch.scores.score_B)
        if turn.shadow is not None:
            self._count_shadow(turn.shadow)
        for reject in turn.rejects:
            metrics.records_rejected.labels(reject.reason).inc()
        if len(turn.readings):
            newest_s = float(turn.readings.time_s_N.max())
            metrics.event_time_lag.set(turn.taken.taken_at_s - newest_s)
        for event in turn.events:
            metrics.alerts_sent.labels(event.state).inc()
            if event.state == "opened":
                metrics.incidents_opened.inc()
            elif event.state == "closed":
                metrics.incidents_closed.inc()

    def _show_rejects(self, rejects: Sequence[Reject]) -> None:
        for reject, more in at_most(rejects):
            log.warning(
                "record_rejected",
                reason=reject.reason,
                detail=reject.detail,
                topic=reject.record.topic,
                partition=reject.record.partition,
                offset=reject.record.offset,
                **more,
            )

    def _show_incidents(self, events: Sequence[Event]) -> None:
        for event, more in at_most(events):
            log.info(
                f"incident_{event.state}",
                unit=event.unit,
                score=round(event.score, 3),
                peak_score=round(event.peak_score, 3),
                **more,
            )

    def _show_unknown(self, units: Sequence[str]) -> None:
        for unit, more in at_most(units):
            log.warning(
                "unit_not_trained_on",
                unit=unit,
                detail="scaled as all units together: less is seen of it; train again",
                **more,
            )
