"""What the Overview shows while workers are down, or of two deployments: promtool evaluates
its queries on series that say so."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.files import RULES, queries
from tests.deploy.promql import as_grafana_sends

Samples = Mapping[str, float]
"""Values by their labels, as PromQL writes them."""
NONE_LABELLED = "{}"

ONE_OF_SIX = {
    'pipeline_build_info{job="worker", instance="w0"}': "1x240",
    'pipeline_ready{job="worker", instance="w0"}': "1x240",
    'up{job="worker", instance="w0"}': "1x240",
    **{f'up{{job="worker", instance="w{n}"}}': "1x60 0x60 stale" for n in (1, 2, 3, 4, 5)},
    **{
        f'pipeline_ready{{job="worker", instance="w{n}"}}': "1x60 stale"
        for n in (1, 2, 3, 4, 5)
    },
}
"""Five workers go after an hour, and their names an hour later."""


def assert_shown(
    folder: Path, panel: str, series: Mapping[str, str], at: str, expected: Samples
) -> None:
    """Evaluate a query of the Overview, named by its panel and letter.

    Args:
        series: promtool's values by each series, a minute apart.
        at: when to look, from the first value on.
    """
    (expression,) = [q["expr"] for name, q in queries() if name == f"overview: {panel}"]
    asked = {
        "expr": as_grafana_sends(expression),
        "eval_time": at,
        "exp_samples": [{"labels": on, "value": value} for on, value in expected.items()],
    }
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [asked]}
    (folder / "test.yml").write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(RULES)],
                "evaluation_interval": "1m",
                "group_eval_order": groups,
                "tests": [test],
            }
        )
    )
    line = ["promtool", "test", "rules", str(folder / "test.yml")]

    done = subprocess.run(line, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("at", ["90m", "180m"], ids=["scraped", "gone"])
@pytest.mark.parametrize("panel", ["Workers up B", "Ready A"])
def test_one_of_six_workers_is_a_sixth_of_them(tmp_path: Path, panel: str, at: str) -> None:
    assert_shown(tmp_path, panel, ONE_OF_SIX, at, {NONE_LABELLED: 1 / 6})


def test_where_no_worker_ever_was_none_is_ready(tmp_path: Path) -> None:
    series = {'up{job="prometheus", instance="p:9090"}': "1x20"}

    assert_shown(tmp_path, "Ready A", series, "10m", {NONE_LABELLED: 0.0})
    assert_shown(tmp_path, "Workers up B", series, "10m", {NONE_LABELLED: 0.0})


def test_what_starts_beside_the_old_ones_for_an_update_is_not_missed(
    tmp_path: Path,
) -> None:
    series = {
        'pipeline_build_info{job="worker", instance="w0"}': "1x240",
        'pipeline_ready{job="worker", instance="w0"}': "1x240",
        'up{job="worker", instance="w0"}': "1x240",
        'up{job="worker", instance="w1"}': "_x100 1x5 stale",
    }

    assert_shown(tmp_path, "Ready A", series, "180m", {NONE_LABELLED: 1.0})


def test_the_age_of_readings_is_not_drawn_while_none_are_read(tmp_path: Path) -> None:
    series = {
        'pipeline_readings_total{job="worker", instance="w0"}': "0+60x30 1800x30",
        'pipeline_event_time_lag_seconds{job="worker", instance="w0"}': "2x60",
    }

    labels = '{job="worker", instance="w0"}'
    assert_shown(tmp_path, "Lag in event time A", series, "20m", {labels: 2.0})
    assert_shown(tmp_path, "Lag in event time A", series, "45m", {})


def test_topics_of_one_name_that_two_deployments_read_are_two(tmp_path: Path) -> None:
    topic = 'topic="readings", partition="0"'
    lag = {job: f'{{job="{job}", {topic}}}' for job in ("a-worker", "b-worker")}
    series = {
        f"pipeline_consumer_lag_records{lag['a-worker']}": "5x20",
        f"pipeline_consumer_lag_records{lag['b-worker']}": "7x20",
    }

    expected = {lag["a-worker"]: 5.0, lag["b-worker"]: 7.0}
    assert_shown(tmp_path, "Lag in records A", series, "10m", expected)


def test_alerts_are_counted_of_the_chosen_jobs_and_of_none_in_particular() -> None:
    (expression,) = [q["expr"] for n, q in queries() if n == "overview: Alerts firing A"]

    assert 'job=~"$job|"' in expression
