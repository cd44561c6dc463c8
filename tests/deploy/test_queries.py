"""Rules and dashboards ask only for what there is, and in a way that survives restarts."""

import re

import pytest

from tests.deploy.exported import OF_A_SCRAPE, exported
from tests.deploy.files import PROMETHEUS, annotations, queries, read_yaml, rules
from tests.deploy.promql import as_grafana_sends, counters_in_a_rate, labels_in, series_in

QUERIES = {
    **{name: query["expr"] for name, query in queries()},
    **{name: one["expr"] for name, one in annotations()},
    **{rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()},
}

every_query = pytest.mark.parametrize("name", QUERIES)


@every_query
def test_every_series_exists(name: str) -> None:
    assert series_in(QUERIES[name])
    assert series_in(QUERIES[name]) <= exported().keys()


@every_query
def test_every_label_is_one_of_its_series(name: str) -> None:
    labels = OF_A_SCRAPE.union(*(exported()[one] for one in series_in(QUERIES[name])))

    assert labels_in(QUERIES[name]) <= labels


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=name) for name, query in queries()]
)
def test_every_line_is_named_by_labels_that_it_has(query: dict[str, str]) -> None:
    labels = OF_A_SCRAPE.union(*(exported()[one] for one in series_in(query["expr"])))

    assert set(re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])) <= labels


@every_query
def test_counters_are_taken_as_rates_and_nothing_else_is(name: str) -> None:
    ends = ("_total", "_bucket", "_sum", "_count")
    counters = {one for one in series_in(QUERIES[name]) if one.endswith(ends)}

    assert counters_in_a_rate(QUERIES[name]) == counters


@every_query
def test_no_rate_is_taken_of_a_sum(name: str) -> None:
    # A sum falls when one of its counters begins anew, and a rate takes that for a jump.
    assert not re.search(r"(?:rate|increase)\(\s*(?:sum|max|min|avg)\b", QUERIES[name])


@every_query
def test_no_variable_of_grafana_is_left(name: str) -> None:
    assert "$" not in as_grafana_sends(QUERIES[name])


def test_workers_are_scraped_under_a_job_that_the_rules_select() -> None:
    (scrape,) = read_yaml(PROMETHEUS)["scrape_configs"]
    selected = {
        job for query in QUERIES.values() for job in re.findall(r'job=~"([^"$]+)"', query)
    }

    assert selected == {".*worker"}
    assert re.fullmatch(".*worker", scrape["job_name"])
