"""Whom the chart's pods may reach, and who may reach them."""

from typing import Any

import pytest

from pipeline.settings import HttpSettings
from tests.deploy.helm import RETRAINING, VALUE_SETS, Values, manifests, merged, pods

EVERYTHING = merged(VALUE_SETS["everything on"], {"podLabels": {}})
DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def policies(values: Values, component: str) -> list[dict[str, Any]]:
    """Those that hold for a component's pods, which together say what these may."""
    (labels,) = (
        pod["metadata"]["labels"]
        for pod in pods(values)
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    return [
        one["spec"]
        for one in manifests(values)
        if one["kind"] == "NetworkPolicy"
        and one["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]


def rules(values: Values, component: str, direction: str) -> list[dict[str, Any]]:
    return [rule for one in policies(values, component) for rule in one.get(direction, [])]


def ports(values: Values, component: str) -> set[int]:
    """Of TCP, to which a component's pods may connect."""
    return {
        port["port"]
        for rule in rules(values, component, "egress")
        for port in rule["ports"]
        if port["protocol"] == "TCP"
    }


def endpoint(url: str) -> Values:
    return {"settings": {"PIPELINE_TRACES__ENDPOINT": url}}


def test_only_metrics_come_in_and_workers_reach_only_kafka_and_names() -> None:
    values = {"kafka": {"bootstrapServers": "a:9092, b:9092,c:9094"}}

    assert rules(values, "worker", "ingress") == [
        {"ports": [{"port": HttpSettings().port, "protocol": "TCP"}]}
    ]
    assert rules(values, "worker", "egress") == [
        DNS,
        {"ports": [{"port": 9092, "protocol": "TCP"}, {"port": 9094, "protocol": "TCP"}]},
    ]


@pytest.mark.parametrize("component", ["worker", "promotion", "retraining"])
def test_no_pod_is_without_a_policy_for_both_directions(component: str) -> None:
    held = {kind for one in policies(EVERYTHING, component) for kind in one["policyTypes"]}

    assert held == {"Ingress", "Egress"}


@pytest.mark.parametrize("component", ["promotion", "retraining"])
def test_what_trains_or_promotes_reaches_nobody(component: str) -> None:
    values = merged(RETRAINING, {"promote": "detector-1"}, endpoint("http://otel:4318"))

    assert rules(values, component, "egress") == []
    assert rules(values, component, "ingress") == []


def test_retraining_reaches_the_topic_with_verdicts_that_it_is_to_learn_from() -> None:
    args = ["--labels", "kafka://a:9095,b:9096/verdicts", "--alerts=kafka://c:9097/alerts"]
    values = merged(RETRAINING, {"retraining": {"args": args}})

    assert ports(values, "retraining") == {53, 9092, 9095, 9096, 9097}


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://otel-collector:4318", 4318),
        ("https://otel.example:4319/v1/traces", 4319),
        ("http://otel.example", 80),
        ("https://otel.example/v1/traces", 443),
        ("http://[fd00::1]:4318", 4318),
        ("http://[fd00::4318]", 80),
    ],
)
def test_workers_reach_the_collector_of_their_traces(url: str, port: int) -> None:
    assert ports(endpoint(url), "worker") == {53, 9092, port}


def test_without_traces_no_port_is_open_for_them() -> None:
    assert ports(endpoint(""), "worker") == {53, 9092}


def test_names_may_be_answered_at_another_port() -> None:
    values = {"networkPolicy": {"dnsPorts": [53, 5353]}}

    dns, _ = rules(values, "worker", "egress")

    assert dns["ports"] == [
        {"port": port, "protocol": protocol}
        for port in (53, 5353)
        for protocol in ("UDP", "TCP")
    ]


def test_values_of_a_release_from_before_there_were_such_ports_open_no_others() -> None:
    # What `helm upgrade --reuse-values` leaves out; a rule without ports would allow all.
    dns, _ = rules({"networkPolicy": {"dnsPorts": None}}, "worker", "egress")

    assert dns == DNS


@pytest.mark.parametrize("component", ["worker", "promotion", "retraining"])
def test_further_rules_hold_for_every_pod(component: str) -> None:
    assert {"ports": [{"port": 4317}]} in rules(EVERYTHING, component, "egress")
