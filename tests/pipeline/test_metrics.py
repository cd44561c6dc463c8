"""The metrics: all there under their names, and histograms that count like any other."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from pipeline.metrics import WorkerMetrics
from pipeline.metrics_histogram import SCORE_BUCKETS, ArrayHistogram
from pipeline.records import Partition, TimeArray


class Moved(NamedTuple):
    """How each sensor has moved."""

    psi_F: TimeArray
    out_of_range_F: TimeArray
    missing_F: TimeArray
    stuck_F: TimeArray
    n_drifting: dict[str, int]


def moved(share: float, **n_drifting: int) -> Moved:
    share_F = np.full(2, share)
    return Moved(share_F, share_F, share_F, share_F, n_drifting)


def used(metrics: WorkerMetrics) -> None:
    """Use every metric once."""
    for counter in (
        metrics.records_read,
        metrics.readings,
        metrics.windows_scored.labels("cpu"),
        metrics.records_rejected.labels("not_json"),
        metrics.readings_late,
        metrics.incidents_opened,
        metrics.incidents_closed,
        metrics.alerts_sent.labels("opened"),
        metrics.rebalances,
        metrics.unit_days_watched,
        metrics.detector_incidents_opened.labels("sha256:00"),
        metrics.detector_unit_days.labels("sha256:00"),
        metrics.commits.labels("done"),
    ):
        counter.inc()
    for gauge in (
        metrics.incidents_open,
        metrics.event_time_lag,
        metrics.partitions_assigned,
        metrics.units,
        metrics.detector_info.labels("pumps", "sha256:00", "vae"),
        metrics.score_psi.labels("sha256:00"),
        metrics.score_psi_usual.labels("sha256:00"),
        metrics.psi_span.labels("sha256:00"),
        metrics.calibration_score_ratio.labels("sha256:00", "0.5"),
        metrics.false_alarms_promised.labels("sha256:00"),
        metrics.incidents_per_unit_day.labels("1h"),
        metrics.ready,
        metrics.device_memory.labels("cuda:0"),
        metrics.build_info.labels("0.1.0", "3.11", "2.4"),
    ):
        gauge.set(1)
    metrics.score.observe(np.array([0.5], np.float32))
    metrics.step_seconds.labels("decode").observe(0.1)
    metrics.batch_readings.observe(10)
    metrics.queue_wait.observe(0.1)
    metrics.show_lag({Partition("readings", 3): 7})
    metrics.show_sensors("sha256:00", ["pressure"], moved(0.25, stuck=1))


@pytest.mark.parametrize(
    "series",
    [
        "pipeline_records_read_total 1.0",
        "pipeline_readings_total 1.0",
        'pipeline_windows_scored_total{device="cpu"} 1.0',
        'pipeline_records_rejected_total{reason="not_json"} 1.0',
        "pipeline_readings_late_total 1.0",
        "pipeline_incidents_opened_total 1.0",
        "pipeline_incidents_closed_total 1.0",
        "pipeline_incidents_open 1.0",
        'pipeline_alerts_sent_total{state="opened"} 1.0',
        'pipeline_score_bucket{le="0.5"} 1.0',
        "pipeline_score_count 1.0",
        'pipeline_step_seconds_bucket{le="+Inf",step="decode"} 1.0',
        'pipeline_batch_readings_bucket{le="10.0"} 1.0',
        'pipeline_consumer_lag_records{partition="3",topic="readings"} 7.0',
        "pipeline_event_time_lag_seconds 1.0",
        "pipeline_partitions_assigned 1.0",
        "pipeline_rebalances_total 1.0",
        "pipeline_units 1.0",
        "pipeline_unit_days_watched_total 1.0",
        'pipeline_detector_incidents_opened_total{digest="sha256:00"} 1.0',
        'pipeline_detector_unit_days_watched_total{digest="sha256:00"} 1.0',
        'pipeline_commits_total{outcome="done"} 1.0',
        'pipeline_commits_total{outcome="postponed"} 0.0',
        'pipeline_queue_wait_seconds_bucket{le="0.1"} 1.0',
        'pipeline_score_psi{digest="sha256:00"} 1.0',
        'pipeline_score_psi_usual{digest="sha256:00"} 1.0',
        'pipeline_psi_span_seconds{digest="sha256:00"} 1.0',
        'pipeline_sensor_psi{digest="sha256:00",sensor="pressure"} 0.25',
        'pipeline_sensor_out_of_range_ratio{digest="sha256:00",sensor="pressure"} 0.25',
        'pipeline_sensor_missing_ratio{digest="sha256:00",sensor="pressure"} 0.25',
        'pipeline_sensor_stuck_ratio{digest="sha256:00",sensor="pressure"} 0.25',
        'pipeline_sensors_drifting{by="stuck",digest="sha256:00"} 1.0',
        'pipeline_calibration_score_ratio{digest="sha256:00",le="0.5"} 1.0',
        'pipeline_false_alarms_promised_per_unit_day{digest="sha256:00"} 1.0',
        'pipeline_incidents_per_unit_day{over="1h"} 1.0',
        "pipeline_ready 1.0",
        'pipeline_device_memory_bytes{device="cuda:0"} 1.0',
        'pipeline_detector_info{digest="sha256:00",model="vae",name="pumps"} 1.0',
        'pipeline_build_info{python="3.11",torch="2.4",version="0.1.0"} 1.0',
    ],
)
def test_a_scrape_shows(series: str) -> None:
    registry = CollectorRegistry()
    used(WorkerMetrics(registry))

    assert series in generate_latest(registry).decode().splitlines()


def test_every_metric_says_what_it_counts() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)

    for family in registry.collect():
        assert family.documentation.endswith("."), family.name


def test_declared_labels_are_shown_at_0_before_their_first_use() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry).declare_labels(["not_json"], ["opened"])

    rejected = registry.get_sample_value(
        "pipeline_records_rejected_total", {"reason": "not_json"}
    )
    sent = registry.get_sample_value("pipeline_alerts_sent_total", {"state": "opened"})
    assert (rejected, sent) == (0.0, 0.0)


def test_the_lag_of_a_partition_that_is_gone_is_shown_no_longer() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.show_lag({Partition("readings", 0): 5, Partition("readings", 1): 6})

    metrics.show_lag({Partition("readings", 1): 8})
    metrics.show_lag({Partition("readings", 1): 9})

    [family] = [f for f in registry.collect() if f.name == "pipeline_consumer_lag_records"]
    assert [(s.labels["partition"], s.value) for s in family.samples] == [("1", 9.0)]


SCORES = st.floats(0, 100, width=32) | st.sampled_from([*SCORE_BUCKETS, float("inf")])


@given(batches=st.lists(st.lists(SCORES)))
def test_a_histogram_of_arrays_equals_one_that_is_fed_one_by_one(
    batches: list[list[float]],
) -> None:
    registry = CollectorRegistry()
    by_array = ArrayHistogram("array", "Scores.", SCORE_BUCKETS, registry)
    one_by_one = Histogram("single", "Scores.", buckets=SCORE_BUCKETS, registry=registry)

    for batch in batches:
        values = np.array(batch, dtype=np.float32)
        by_array.observe(values)
        for value in values.tolist():
            one_by_one.observe(value)

    for bound in (*(str(float(b)) for b in SCORE_BUCKETS), "+Inf"):
        labels = {"le": bound}
        counted = registry.get_sample_value("array_bucket", labels)
        assert counted == registry.get_sample_value("single_bucket", labels)
    assert registry.get_sample_value("array_count") == registry.get_sample_value(
        "single_count"
    )
    assert registry.get_sample_value("array_sum") == pytest.approx(
        registry.get_sample_value("single_sum")
    )


def test_what_is_unknown_of_a_sensor_is_shown_no_longer() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.show_sensors("sha256:00", ["pressure", "flow"], moved(0.25, stuck=1))

    metrics.show_sensors("sha256:00", ["pressure", "flow"], moved(math.nan))

    assert "pressure" not in generate_latest(registry).decode()


def test_of_a_detector_that_is_forgotten_nothing_is_shown_and_of_others_all() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    used(metrics)
    metrics.score_psi.labels("sha256:01").set(1)

    metrics.forget_detector("sha256:00")

    page = generate_latest(registry).decode()
    assert "sha256:00" not in page
    assert 'pipeline_score_psi{digest="sha256:01"} 1.0' in page
