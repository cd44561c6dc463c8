"""The dashboard asks only for what the worker exports, and says what it shows."""

import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from pipeline.metrics import ArrayHistogram, WorkerMetrics
from tests.deploy.files import (
    GRAFANA,
    PROMETHEUS,
    dashboard,
    panels,
    queries,
    read_yaml,
    services,
)

# Of the query language, as far as the dashboard uses it.
WORDS = {"sum", "max", "rate", "increase", "histogram_quantile", "vector"}
WORDS |= {"by", "on", "or", "group_left"}

# Prometheus adds these to every series it scrapes.
LABELS_OF_A_SCRAPE = {"job", "instance"}


def exported() -> dict[str, set[str]]:
    """Every series the worker exports, with its labels, and Prometheus' own `up`."""
    metrics = vars(WorkerMetrics(CollectorRegistry())).values()
    labels_by_series: dict[str, set[str]] = {"up": set()}
    for metric in metrics:
        if not isinstance(metric, MetricWrapperBase | ArrayHistogram):
            continue
        labels = set(getattr(metric, "_labelnames", ()))
        family = next(iter(metric.collect()))
        if family.type == "histogram":
            labels_by_series[f"{family.name}_bucket"] = labels | {"le"}
            labels_by_series[f"{family.name}_sum"] = labels
            labels_by_series[f"{family.name}_count"] = labels
        elif family.type == "counter":
            labels_by_series[f"{family.name}_total"] = labels
        else:
            labels_by_series[family.name] = labels
    return labels_by_series


def series_in(expression: str) -> set[str]:
    """Names in an expression that are not the language's own: those of series."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left) \([^)]*\)", "", expression)
    return set(re.findall(r"[a-zA-Z_]\w*", bare)) - WORDS


def labels_in(query: dict[str, Any]) -> set[str]:
    """Labels that a query groups by, selects by, or names its lines by."""
    expression = query["expr"]
    grouped = " ".join(re.findall(r"\b(?:by|on) \(([^)]*)\)", expression))
    selected = " ".join(re.findall(r"\{([^}]*)\}", expression))
    return {
        *re.findall(r"\w+", grouped),
        *re.findall(r"(\w+)\s*[!=]", selected),
        *re.findall(r"\{\{(\w+)\}\}", query["legendFormat"]),
    }


every_query = pytest.mark.parametrize(
    "query", [pytest.param(one, id=f"{title} {one['refId']}") for title, one in queries()]
)
every_panel = pytest.mark.parametrize(
    "panel", [pytest.param(one, id=one["title"]) for one in panels()]
)


@every_query
def test_every_series_is_exported_by_the_worker(query: dict[str, Any]) -> None:
    assert series_in(query["expr"])
    assert series_in(query["expr"]) <= exported().keys()


@every_query
def test_every_label_is_one_of_its_series(query: dict[str, Any]) -> None:
    labels = LABELS_OF_A_SCRAPE.union(
        *(exported()[name] for name in series_in(query["expr"]))
    )

    assert labels_in(query) <= labels


@every_query
def test_counters_are_shown_as_rates_and_nothing_else_is(query: dict[str, Any]) -> None:
    in_a_rate = set(re.findall(r"(?:rate|increase)\((\w+)", query["expr"]))

    ends = ("_total", "_bucket", "_sum", "_count")
    assert in_a_rate == {name for name in series_in(query["expr"]) if name.endswith(ends)}


def test_what_a_first_look_needs_is_on_it() -> None:
    shown: set[str] = set().union(*(series_in(query["expr"]) for _, query in queries()))

    assert shown >= {
        "up",
        "pipeline_readings_total",
        "pipeline_consumer_lag_records",
        "pipeline_event_time_lag_seconds",
        "pipeline_incidents_opened_total",
        "pipeline_incidents_open",
        "pipeline_records_rejected_total",
        "pipeline_score_bucket",
        "pipeline_step_seconds_sum",
        "pipeline_batch_readings_bucket",
        "pipeline_partitions_assigned",
        "pipeline_rebalances_total",
        "pipeline_units",
        "pipeline_detector_info",
    }


@every_panel
def test_every_panel_says_what_it_shows_and_in_what_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_have_ids_and_titles_of_their_own() -> None:
    everything = dashboard()["panels"]

    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)


def test_panels_do_not_overlap_and_fit_the_width() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])
        }
        assert not cells & taken
        taken |= cells


def test_the_data_source_is_chosen_by_a_variable_that_begins_with_ours() -> None:
    (variable,) = dashboard()["templating"]["list"]
    (provisioned,) = read_yaml(GRAFANA / "provisioning/datasources/prometheus.yml")[
        "datasources"
    ]

    assert variable["type"] == "datasource"
    assert variable["query"] == provisioned["type"]
    assert variable["current"]["value"] == provisioned["uid"]
    for panel in panels():
        for one in (panel, *panel["targets"]):
            assert one["datasource"]["uid"] == f"${{{variable['name']}}}"


def test_the_data_source_is_the_prometheus_of_compose() -> None:
    (provisioned,) = read_yaml(GRAFANA / "provisioning/datasources/prometheus.yml")[
        "datasources"
    ]
    (port,) = services()["prometheus"]["ports"]

    assert provisioned["url"] == f"http://prometheus:{port.split(':')[-1]}"


def test_the_data_source_knows_how_often_prometheus_scrapes() -> None:
    (provisioned,) = read_yaml(GRAFANA / "provisioning/datasources/prometheus.yml")[
        "datasources"
    ]

    interval = read_yaml(PROMETHEUS)["global"]["scrape_interval"]

    assert provisioned["jsonData"]["timeInterval"] == interval


def test_workers_are_scraped_under_the_name_that_the_dashboard_selects() -> None:
    (scrape,) = read_yaml(PROMETHEUS)["scrape_configs"]
    selected = {
        name for _, query in queries() for name in re.findall(r'job="(\w+)"', query["expr"])
    }

    assert selected == {scrape["job_name"]}


def test_grafana_finds_the_dashboard_where_compose_mounts_it() -> None:
    (provider,) = read_yaml(GRAFANA / "provisioning/dashboards/pipeline.yml")["providers"]
    folder = provider["options"]["path"]

    assert f"./deploy/grafana/dashboards:{folder}:ro" in services()["grafana"]["volumes"]
    assert f"{folder}/overview.json" in (GRAFANA / "grafana.ini").read_text()
