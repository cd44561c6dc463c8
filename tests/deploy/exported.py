"""Every series that there is to ask for, with its labels."""

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from pipeline.metrics import WorkerMetrics
from pipeline.metrics_histogram import ArrayHistogram
from tests.deploy.files import recordings
from tests.deploy.promql import labels_in

OF_A_SCRAPE = frozenset({"job", "instance", "process"})
"""Labels that every series has, the last one where a worker has several processes."""

OTHERS = frozenset({"up", "ALERTS"})
"""Prometheus' own."""

OF_THE_PROCESS = frozenset(
    {
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    }
)
"""Of prometheus_client."""


def exported() -> dict[str, set[str]]:
    """Every series that the worker exports, Prometheus adds, or a rule records."""
    series = {name: {"alertname", "alertstate"} for name in OTHERS}
    series |= {name: set() for name in OF_THE_PROCESS}
    for metric in vars(WorkerMetrics(CollectorRegistry())).values():
        if not isinstance(metric, MetricWrapperBase | ArrayHistogram):
            continue
        labels = set(getattr(metric, "_labelnames", ()))
        family = next(iter(metric.collect()))
        if family.type == "histogram":
            series[f"{family.name}_bucket"] = labels | {"le"}
            series[f"{family.name}_sum"] = labels
            series[f"{family.name}_count"] = labels
        elif family.type == "counter":
            series[f"{family.name}_total"] = labels
        else:
            series[family.name] = labels
    for name, expression in recordings().items():
        series[name] = labels_in(expression)
    return series
