"""Every metric the worker exports, declared together. Labels are bounded: never a unit, a
sensor's value or an offset."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.records import Partition, TimeArray
from pipeline.spans import NoSpans, Spans, TimedStep

SCORE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2, 4, 10)
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
BATCH_BUCKETS = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


class ArrayHistogram(Collector):
    """A histogram that takes a whole batch at once: one NumPy call, not one per reading."""

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._upper_bounds = np.array([*buckets, np.inf])
        self._counts = np.zeros(len(self._upper_bounds), dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: npt.NDArray[np.float32]) -> None:
        """Count every value of a one-dimensional array."""
        bucket = np.searchsorted(self._upper_bounds, values, side="left")
        # A new array, not `+=`: the metrics page is read from another thread.
        self._counts = self._counts + np.bincount(bucket, minlength=len(self._counts))
        self._sum += float(values.sum(dtype=np.float64))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The metric as Prometheus wants it: cumulative counts by upper bound."""
        cumulative = np.cumsum(self._counts).tolist()
        bounds = [*(str(float(b)) for b in self._upper_bounds[:-1]), "+Inf"]
        yield HistogramMetricFamily(
            self._name,
            self._documentation,
            buckets=list(zip(bounds, cumulative, strict=True)),
            sum_value=self._sum,
        )


class SensorShares(Protocol):
    """How each sensor has moved, in the order of the detector's; NaN where unknown."""

    @property
    def psi_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def out_of_range_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def missing_F(self) -> TimeArray: ...  # noqa: N802
    @property
    def stuck_F(self) -> TimeArray: ...  # noqa: N802


class WorkerMetrics:
    """Every metric the worker exports."""

    def __init__(
        self, registry: CollectorRegistry | None = None, spans: Spans | None = None
    ) -> None:
        """Declare them in `registry`, or in one of their own that nobody scrapes.

        Steps that are timed are told to `spans` as well.
        """
        registry = registry or CollectorRegistry()
        self.spans = spans or NoSpans()

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(name, documentation, labels, registry=registry)

        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(name, documentation, labels, registry=registry)

        self.readings = counter("pipeline_readings_total", "Readings decoded.")
        self.windows_scored = counter(
            "pipeline_windows_scored_total",
            "Windows that were given an anomaly score.",
            "device",
        )
        self.records_rejected = counter(
            "pipeline_records_rejected_total",
            "Records that were dead-lettered instead of scored.",
            "reason",
        )
        self.readings_late = counter(
            "pipeline_readings_late_total",
            "Readings older than their unit's newest, left out of the windows.",
        )
        self.readings_replayed = counter(
            "pipeline_readings_replayed_total",
            "Readings read again, to rebuild what is remembered of their units.",
        )
        self.incidents_opened = counter(
            "pipeline_incidents_opened_total", "Incidents opened."
        )
        self.incidents_closed = counter(
            "pipeline_incidents_closed_total", "Incidents closed."
        )
        self.incidents_open = gauge(
            "pipeline_incidents_open", "Incidents open now, of the units read here."
        )
        self.alerts_sent = counter(
            "pipeline_alerts_sent_total", "Alerts acknowledged by the broker.", "state"
        )
        self.score = ArrayHistogram(
            "pipeline_score",
            "Normalised anomaly scores; 1 is the threshold.",
            SCORE_BUCKETS,
            registry,
        )
        self.step_seconds = Histogram(
            "pipeline_step_seconds",
            "Time one turn of the loop spent in each step.",
            ["step"],
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.batch_readings = Histogram(
            "pipeline_batch_readings",
            "Readings in one batch, of those that had any.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.queue_wait = Histogram(
            "pipeline_queue_wait_seconds",
            "From a batch's poll to its being taken up.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.commits = counter(
            "pipeline_commits_total",
            "Commits of offsets: done, or postponed, which the next one makes up for.",
            "outcome",
        )
        for outcome in ("done", "postponed"):
            self.commits.labels(outcome)
        self.consumer_lag = gauge(
            "pipeline_consumer_lag_records",
            "Records not yet read, as of the last fetch.",
            "topic",
            "partition",
        )
        self._shown_lag: set[Partition] = set()
        self.event_time_lag = gauge(
            "pipeline_event_time_lag_seconds",
            "Age of the newest reading of the last batch when it was taken up.",
        )
        self.partitions_assigned = gauge(
            "pipeline_partitions_assigned", "Partitions that are this worker's now."
        )
        self.rebalances = counter(
            "pipeline_rebalances_total", "Changes of this worker's partitions."
        )
        self.units = gauge("pipeline_units", "Units whose state is kept.")
        self.units_evicted = counter(
            "pipeline_units_evicted_total",
            "Units that were silent for long: they started anew, or were given up.",
        )
        self.units_out_of_reach = gauge(
            "pipeline_units_out_of_reach",
            "Units that a restart would not rebuild as a whole: their last readings lie "
            "further back than it reads.",
        )
        self.incidents_out_of_reach = gauge(
            "pipeline_incidents_out_of_reach",
            "Open incidents that a restart would know nothing of: neither has the note "
            "beside the offset room for them, nor does it read so far back.",
        )
        self.offsets_missed = counter(
            "pipeline_offsets_missed_total",
            "Offsets between a committed one and the first record found behind it, when "
            "partitions were taken over: records that retention or compaction took unread, "
            "and ends of transactions.",
        )
        self.detector_info = gauge(
            "pipeline_detector_info",
            "1, labelled with the detector in use.",
            "name",
            "digest",
            "model",
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
        self.unit_days_watched = counter(
            "pipeline_unit_days_watched_total",
            "Time that units were watched, by their readings' own times, gaps not counted.",
        )
        self.incidents_per_unit_day = gauge(
            "pipeline_incidents_per_unit_day",
            "Incidents opened per unit and day watched, over the last hour, day and week "
            "of this worker; NaN where nothing was watched.",
            "over",
        )
        self.ready = gauge("pipeline_ready", "What /readyz says: 1 ready, 0 not.")
        self.device_memory = gauge(
            "pipeline_device_memory_bytes",
            "Memory of a GPU that tensors of this worker take.",
            "device",
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
        self.build_info = gauge(
            "pipeline_build_info",
            "1, labelled with the versions in use.",
            "version",
            "python",
            "torch",
        )

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

    def declare_labels(self, reasons: Iterable[str], states: Iterable[str]) -> None:
        """Export these series at 0, so that a rate over the first event is not lost."""
        for outcome in ("taken", "refused"):
            self.detector_loads.labels(outcome)
        for found_by in ("both", "detector", "shadow"):
            self.incidents_compared.labels(found_by)
        for reason in reasons:
            self.records_rejected.labels(reason)
        for state in states:
            self.alerts_sent.labels(state)

    def show_sensors(self, digest: str, names: Sequence[str], drift: SensorShares) -> None:
        """Show how each sensor of a detector has moved; nothing where that is NaN."""
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

    def forget_detector(self, digest: str) -> None:
        """Export nothing more of the detector with this digest."""
        for gauge in self._of_detector:
            gauge.remove_by_labels({"digest": digest})

    def timed(self, step: str) -> TimedStep:
        """Times what is done within, as `step`."""
        return self.spans.timed(step, self.step_seconds.labels(step).time())

    def show_lag(self, lag: Mapping[Partition, int]) -> None:
        """Show the lag of these partitions and of no others."""
        # Not clear(): a scrape between it and set() would see no lag at all.
        for gone in self._shown_lag - set(lag):
            self.consumer_lag.remove(gone.topic, str(gone.number))
        self._shown_lag = set(lag)
        for partition, n_records in lag.items():
            self.consumer_lag.labels(partition.topic, str(partition.number)).set(n_records)


def totals(page: str) -> dict[str, float]:
    """A metrics page as numbers: each sample's name and its sum over all labels."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
