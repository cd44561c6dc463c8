"""Dashboards say what they show, and hold together. Grafana itself is not at hand."""

import re
from typing import Any

import pytest

from tests.deploy.files import (
    GRAFANA,
    PROMETHEUS,
    RUNBOOK,
    annotations,
    dashboards,
    headings,
    panels,
    queries,
    read_yaml,
    services,
)
from tests.deploy.promql import series_in

RUNBOOK_URL = "/public/deploy/RUNBOOK.md"
HIGHEST = 12
"""Rows of the grid that a panel takes at most."""

every_panel = pytest.mark.parametrize(
    "panel", [pytest.param(panel, id=name) for name, panel in panels()]
)
every_dashboard = pytest.mark.parametrize("name", dashboards())


def test_there_are_three() -> None:
    assert dashboards().keys() == {"overview", "worker", "detector"}


def test_what_a_first_look_needs_is_on_the_overview() -> None:
    shown: set[str] = set().union(
        *(series_in(query["expr"]) for name, query in queries() if name[:8] == "overview")
    )

    assert shown >= {
        "pipeline:workers_up:count",
        "pipeline_ready",
        "pipeline_readings_total",
        "pipeline:lag_records:sum",
        "pipeline_consumer_lag_records",
        "pipeline_event_time_lag_seconds",
        "pipeline_incidents_opened_total",
        "pipeline_incidents_open",
        "pipeline:records_rejected:rate5m",
        "pipeline_score_bucket",
        "pipeline_detector_info",
        "ALERTS",
    }


@every_panel
def test_every_panel_says_what_it_shows_and_in_what_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 30
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@every_panel
def test_every_panel_links_to_a_section_of_the_runbook(panel: dict[str, Any]) -> None:
    (link,) = panel["links"]
    path, _, anchor = link["url"].partition("#")

    assert path == RUNBOOK_URL
    assert headings(RUNBOOK.read_text())[anchor].strip()
    assert link["title"].lower().replace(" ", "-") == f"runbook:-{anchor}"


def test_the_links_are_served_where_compose_mounts_the_runbook() -> None:
    mount = f"./deploy/RUNBOOK.md:/usr/share/grafana{RUNBOOK_URL}:ro"

    assert mount in services()["grafana"]["volumes"]


@every_panel
def test_thresholds_begin_at_the_bottom_and_rise(panel: dict[str, Any]) -> None:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    values = [step["value"] for step in steps]

    assert values[0] is None
    assert values[1:] == sorted(values[1:])


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=name) for name, query in queries()]
)
def test_every_rate_has_readings_of_its_own_where_prometheus_scrapes_once_a_minute(
    query: dict[str, Any],
) -> None:
    # Grafana's interval is four scrapes at least.
    ranges = re.findall(r"\[([^]]+)\]", query["expr"])

    assert set(ranges) <= {"$__rate_interval", "5m", "1h", "1d", "7d"}


@every_dashboard
def test_panels_have_ids_and_titles_of_their_own(name: str) -> None:
    everything = dashboards()[name]["panels"]

    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)


@every_dashboard
def test_panels_fill_the_width_without_overlaps_or_holes(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards()[name]["panels"]:
        at = panel["gridPos"]
        assert at["h"] <= HIGHEST
        cells = {
            (at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])
        }
        assert not cells & taken
        taken |= cells

    height = 1 + max(y for _, y in taken)
    assert taken == {(x, y) for x in range(24) for y in range(height)}


@every_panel
def test_every_query_of_a_panel_has_an_id_of_its_own(panel: dict[str, Any]) -> None:
    ids = [target["refId"] for target in panel["targets"]]

    assert ids == list("ABCDEFGH")[: len(ids)]


def test_dashboards_have_uids_and_titles_of_their_own() -> None:
    assert {name: one["uid"] for name, one in dashboards().items()} == {
        name: f"pipeline-{name}" for name in dashboards()
    }
    assert len({one["title"] for one in dashboards().values()}) == len(dashboards())


@every_dashboard
def test_the_data_source_is_chosen_by_a_variable_that_begins_with_ours(name: str) -> None:
    variable, *others = dashboards()[name]["templating"]["list"]
    (provisioned,) = data_sources()

    assert variable["type"] == "datasource"
    assert variable["query"] == provisioned["type"]
    assert variable["current"]["value"] == provisioned["uid"]
    shown = [panel for panel in dashboards()[name]["panels"] if panel["type"] != "row"]
    asking = [*shown, *others, *dashboards()[name]["annotations"]["list"]]
    asking += [target for panel in shown for target in panel["targets"]]
    for one in asking:
        assert one["datasource"]["uid"] == f"${{{variable['name']}}}"


@every_dashboard
def test_every_variable_is_declared_and_used(name: str) -> None:
    declared = {one["name"] for one in dashboards()[name]["templating"]["list"]}
    used = {
        variable
        for panel, query in queries()
        if panel.startswith(f"{name}:")
        for variable in ("job", "instance")
        if f"${variable}" in query["expr"]
    }

    assert declared == {"datasource", *used}


def test_a_new_detector_is_marked_on_every_dashboard() -> None:
    marked = {name.partition(":")[0]: one["expr"] for name, one in annotations()}

    assert marked.keys() == dashboards().keys()
    for expression in marked.values():
        assert "pipeline_detector_info" in series_in(expression)


def test_the_data_source_is_the_prometheus_of_compose() -> None:
    (provisioned,) = data_sources()
    (port,) = services()["prometheus"]["ports"]

    assert provisioned["url"] == f"http://prometheus:{port.split(':')[-1]}"


def test_the_data_source_knows_how_often_prometheus_scrapes() -> None:
    (provisioned,) = data_sources()

    interval = read_yaml(PROMETHEUS)["global"]["scrape_interval"]

    assert provisioned["jsonData"]["timeInterval"] == interval


def test_grafana_finds_the_dashboards_where_compose_mounts_them() -> None:
    (provider,) = read_yaml(GRAFANA / "provisioning/dashboards/pipeline.yml")["providers"]
    folder = provider["options"]["path"]

    assert f"./deploy/grafana/dashboards:{folder}:ro" in services()["grafana"]["volumes"]
    assert f"{folder}/overview.json" in (GRAFANA / "grafana.ini").read_text()


def data_sources() -> list[dict[str, Any]]:
    path = GRAFANA / "provisioning/datasources/prometheus.yml"
    return list(read_yaml(path)["datasources"])
