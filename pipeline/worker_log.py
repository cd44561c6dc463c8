"""What the worker says of itself: counters, and lines."""

import time
from collections.abc import Sequence

import structlog

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.observed import SilentUnit
from pipeline.incident import Event
from pipeline.log_limit import at_most
from pipeline.metrics import WorkerMetrics
from pipeline.records import Reject
from pipeline.steps import Steps
from pipeline.turn import ShadowTurn, Turn
from pipeline.watch import AsBefore, Refused

log = structlog.get_logger()


class WorkerLog:
    """Counts what turns come to, and logs what is worth a line. What is measured over time
    is `Observed`'s."""

    def __init__(self, metrics: WorkerMetrics, device_type: str) -> None:
        self._metrics = metrics
        self._device_type = device_type

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

    def show_silent(self, units: Sequence[SilentUnit]) -> None:
        """Log units of which nothing is seen any more."""
        for silent, more in at_most(units):
            seen_s_ago = round(silent.seen_s_ago)
            log.warning("unit_silent", unit=silent.unit, seen_s_ago=seen_s_ago, **more)

    def show_detector(self, loaded: LoadedDetector) -> None:
        """Show which detector is in use."""
        manifest = loaded.manifest
        self._metrics.show_detector(
            manifest.name, loaded.digest, manifest.model, time.time()
        )

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
        for reject, more in at_most(rejects, lambda reject: reject.reason):
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
        for event, more in at_most(events, lambda e: e.state, lambda e: e.unit):
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
