"""Every metric the worker exports, declared together. Labels are bounded: never a unit, a
sensor's value or an offset."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from pipeline.metrics_detector import DetectorMetrics
from pipeline.metrics_histogram import SCORE_BUCKETS, ArrayHistogram
from pipeline.records import Partition
from pipeline.spans import NoSpans, Spans, TimedStep

SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
BATCH_BUCKETS = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


class WorkerMetrics(DetectorMetrics):
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

        self.records_read = counter(
            "pipeline_records_read_total",
            "Records read for the first time, readable or not; one may hold many readings.",
        )
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
        self.units_silent = gauge(
            "pipeline_units_silent",
            "Units of which no reading was taken for long: none came, or all were late.",
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
        self.unit_days_watched = counter(
            "pipeline_unit_days_watched_total",
            "Time that units were watched, by their readings' own times, gaps not counted.",
        )
        self.incidents_per_unit_day = gauge(
            "pipeline_incidents_per_unit_day",
            "Incidents opened per unit and day watched, over the last hour, day and week "
            "of this worker with the detector in use; NaN where nothing was watched.",
            "over",
        )
        self.ready = gauge("pipeline_ready", "What /readyz says: 1 ready, 0 not.")
        self.device_memory = gauge(
            "pipeline_device_memory_bytes",
            "Memory of a GPU that tensors of this worker take.",
            "device",
        )
        super().__init__(registry)
        self.build_info = gauge(
            "pipeline_build_info",
            "1, labelled with the versions in use.",
            "version",
            "python",
            "torch",
        )

    def declare_labels(self, reasons: Iterable[str], states: Iterable[str]) -> None:
        """Export these series at 0, so that a rate over the first event is not lost."""
        self.declare_detector_labels()
        for reason in reasons:
            self.records_rejected.labels(reason)
        for state in states:
            self.alerts_sent.labels(state)

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
