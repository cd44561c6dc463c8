"""The metrics of the detectors in use: which they are, and whether they still fit."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from pipeline.metrics_histogram import SCORE_BUCKETS, ArrayHistogram
from pipeline.records import TimeArray


class SensorShares(Protocol):
    """How each sensor has moved, in the order of the detector's; NaN where unknown. And
    how many of them too far, by what is known."""

    @property
    def psi_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def out_of_range_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def missing_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def stuck_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def n_drifting(self) -> Mapping[str, int]: ...


class DetectorMetrics:
    """Those of the one in use, which are its digest's, and of the one alongside."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare them in `registry`."""

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(name, documentation, labels, registry=registry)

        self.detector_info = gauge(
            "pipeline_detector_info",
            "1, labelled with the detector in use.",
            "name",
            "digest",
            "model",
        )
        self.shadow_refused = gauge(
            "pipeline_shadow_refused",
            "1 while the folder of the detector alongside holds none that can be used, or "
            "the one in use has failed.",
        )
        self.score_psi = gauge(
            "pipeline_score_psi",
            "How far recent scores are from those of calibration, as a population "
            "stability index: 0 not at all, 0.25 beyond the usual is far.",
            "digest",
        )
        self.score_psi_usual = gauge(
            "pipeline_score_psi_usual",
            "The same of a quarter of calibration against all of it, the furthest: so much "
            "is no drift.",
            "digest",
        )
        self.psi_span = gauge(
            "pipeline_psi_span_seconds",
            "Time that the readings span, by their own clocks, whose scores are compared.",
            "digest",
        )
        self.sensor_psi = gauge(
            "pipeline_sensor_psi",
            "How far a sensor's recent values are from those of training, as a population "
            "stability index.",
            "digest",
            "sensor",
        )
        self.sensor_out_of_range = gauge(
            "pipeline_sensor_out_of_range_ratio",
            "Share of a sensor's recent values that lie outside what training saw.",
            "digest",
            "sensor",
        )
        self.sensor_missing = gauge(
            "pipeline_sensor_missing_ratio",
            "Share of recent readings without this sensor's value.",
            "digest",
            "sensor",
        )
        self.sensor_stuck = gauge(
            "pipeline_sensor_stuck_ratio",
            "Share of recent readings in which this sensor has stood still for over twice "
            "as long as ever in training.",
            "digest",
            "sensor",
        )
        self.sensors_drifting = gauge(
            "pipeline_sensors_drifting",
            "Sensors, of all that the detector has, of which too much is (by) psi, "
            "out_of_range, missing or stuck.",
            "digest",
            "by",
        )
        self.calibration_score_ratio = gauge(
            "pipeline_calibration_score_ratio",
            "Share of the scores of calibration that were no higher than this.",
            "digest",
            "le",
        )
        self.false_alarms_promised = gauge(
            "pipeline_false_alarms_promised_per_unit_day",
            "Incidents per unit and day that calibration found in normal readings.",
            "digest",
        )
        self.detector_incidents_opened = counter(
            "pipeline_detector_incidents_opened_total",
            "Incidents opened by the detector in use, since it was taken.",
            "digest",
        )
        self.detector_unit_days = counter(
            "pipeline_detector_unit_days_watched_total",
            "Time that units were watched with the detector in use, as in "
            "`pipeline_unit_days_watched_total`.",
            "digest",
        )
        self._of_detector = (
            self.detector_info,
            self.score_psi,
            self.score_psi_usual,
            self.psi_span,
            self.sensor_psi,
            self.sensor_out_of_range,
            self.sensor_missing,
            self.sensor_stuck,
            self.sensors_drifting,
            self.calibration_score_ratio,
            self.false_alarms_promised,
            self.detector_incidents_opened,
            self.detector_unit_days,
        )
        self._shown_detector: tuple[str, str, str] | None = None
        self.detector_loaded = gauge(
            "pipeline_detector_loaded_timestamp_seconds",
            "When the detector in use was taken, in seconds since the epoch.",
        )
        self.detector_loads = counter(
            "pipeline_detector_loads_total",
            "Detectors found in place of the one in use.",
            "outcome",
        )
        self.detector_refused = gauge(
            "pipeline_detector_refused",
            "1 while the folder holds what must not be used, and the detector before it "
            "goes on.",
        )
        self._shown_shadow: tuple[str, str, str] | None = None
        self.shadow_info = gauge(
            "pipeline_shadow_info",
            "1, labelled with the detector that scores alongside.",
            "name",
            "digest",
            "model",
        )
        self.shadow_score = ArrayHistogram(
            "pipeline_shadow_score",
            "Normalised anomaly scores of the detector that scores alongside.",
            SCORE_BUCKETS,
            registry,
        )
        self.shadow_incidents_opened = counter(
            "pipeline_shadow_incidents_opened_total",
            "Incidents that the detector alongside would have opened.",
        )
        self.incidents_compared = counter(
            "pipeline_incidents_compared_total",
            "Times in which a unit had an incident open in the detector in use, in the one "
            "alongside, or in both.",
            "found_by",
        )

    def declare_detector_labels(self) -> None:
        """Export these series at 0, so that a rate over the first event is not lost."""
        for outcome in ("taken", "refused"):
            self.detector_loads.labels(outcome)
        for found_by in ("both", "detector", "shadow"):
            self.incidents_compared.labels(found_by)

    def show_detector(self, name: str, digest: str, model: str, now_s: float) -> None:
        """Show this detector as the one in use, since `now_s` of the epoch."""
        shown, self._shown_detector = self._shown_detector, (name, digest, model)
        self.detector_info.labels(*self._shown_detector).set(1)
        self.detector_loaded.set(now_s)
        self.detector_refused.set(0)
        # Afterwards: a scrape in between sees both, and never none.
        if shown is not None and shown[1] != digest:
            self.forget_detector(shown[1])

    def show_shadow(self, name: str, digest: str, model: str) -> None:
        """Show this detector as the one that scores alongside."""
        shown, self._shown_shadow = self._shown_shadow, (name, digest, model)
        self.shadow_info.labels(*self._shown_shadow).set(1)
        if shown not in (None, self._shown_shadow):
            self.shadow_info.remove(*shown)

    def forget_shadow(self) -> None:
        """Show that none scores alongside."""
        if self._shown_shadow is not None:
            self.shadow_info.remove(*self._shown_shadow)
            self._shown_shadow = None

    def show_sensors(self, digest: str, names: Sequence[str], drift: SensorShares) -> None:
        """Show how each sensor of a detector has moved; nothing where that is unknown."""
        gauges = {
            self.sensor_psi: drift.psi_F,
            self.sensor_out_of_range: drift.out_of_range_F,
            self.sensor_missing: drift.missing_F,
            self.sensor_stuck: drift.stuck_F,
        }
        for gauge, values_F in gauges.items():
            for name, value in zip(names, values_F.tolist(), strict=False):
                if math.isnan(value):
                    gauge.remove(digest, name)
                else:
                    gauge.labels(digest, name).set(value)
        for by in ("psi", "out_of_range", "missing", "stuck"):
            if by in drift.n_drifting:
                self.sensors_drifting.labels(digest, by).set(drift.n_drifting[by])
            else:
                self.sensors_drifting.remove(digest, by)

    def withdraw_scores(self, digest: str) -> None:
        """Show no more how a detector's scores have moved."""
        for gauge in (self.score_psi, self.psi_span):
            gauge.remove(digest)

    def withdraw_drift(self, digest: str) -> None:
        """Show no more how a detector's scores and sensors have moved."""
        self.withdraw_scores(digest)
        for gauge in (
            self.sensor_psi,
            self.sensor_out_of_range,
            self.sensor_missing,
            self.sensor_stuck,
            self.sensors_drifting,
        ):
            gauge.remove_by_labels({"digest": digest})

    def forget_detector(self, digest: str) -> None:
        """Export nothing more of the detector with this digest."""
        for series in self._of_detector:
            series.remove_by_labels({"digest": digest})
