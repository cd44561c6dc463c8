"""The chart as a whole: what Kubernetes takes, and which values are refused."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.files import GRAFANA, PROMETHEUS, ROOT, read_yaml
from tests.deploy.helm import (
    CHART,
    MINIMAL,
    MONITORING,
    NEWEST,
    OLDEST,
    VALUE_SETS,
    Values,
    kinds,
    manifests,
    merged,
    one,
    packed,
    rendered,
    run,
    template,
)
from tests.deploy.kubernetes import kubeconform

RUNBOOK = MONITORING["runbook"]
README = ROOT / "README.md"

every_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_manifest(kubernetes: dict[str, Path], version: str) -> None:
    text = "\n".join(map(rendered, VALUE_SETS.values()))

    assert kubeconform(text, kubernetes[version]) == []


def test_a_name_that_kubernetes_does_not_know_is_found(kubernetes: dict[str, Path]) -> None:
    text = rendered(VALUE_SETS["everything on"])
    for name in ("readinessProbe", "maxReplicaCount", "endpoints", "secretTargetRef"):
        assert f" {name}:" in text
        text = text.replace(f" {name}:", f" {name}s:")

    kinds_found = {line.split()[0] for line in kubeconform(text, kubernetes[NEWEST])}

    expected = {"StatefulSet", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"}
    assert kinds_found == expected


@every_set
def test_helm_finds_nothing_to_complain_of(values: Values) -> None:
    text = json.dumps(merged(MINIMAL, values))
    options = ("--strict", "--kube-version", NEWEST, "--values", "-")

    done = run("helm", "lint", str(CHART), *options, text=text)

    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_it_is_of_the_packages_version() -> None:
    chart = read_yaml(CHART / "Chart.yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert chart["name"] == project["name"]
    assert chart["appVersion"] == project["version"]
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"


def test_a_packed_chart_holds_all_that_it_needs(tmp_path: Path) -> None:
    values = VALUE_SETS["everything on"]

    assert template(values, packed(tmp_path)).stdout == rendered(values)


@every_set
def test_no_secret_is_written_down_only_where_it_is(values: Values) -> None:
    assert "Secret" not in kinds(values)
    text = rendered(values)

    assert not re.search(r"^\s*(?:password|username|stringData):", text, re.M)


def test_what_is_optional_is_there_only_if_asked_for() -> None:
    assert kinds({}) == {
        "Deployment",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
    }
    assert kinds(VALUE_SETS["everything off"]) == {"Deployment", "Service"}


def test_detectors_outlive_the_release() -> None:
    claim = one("PersistentVolumeClaim", {})

    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_names_of_a_long_release_still_fit() -> None:
    done = template(VALUE_SETS["everything on"], release="r" * 53)

    for manifest in filter(None, yaml.safe_load_all(done.stdout)):
        # A CronJob's is lower, for the names of its Jobs.
        limit = 52 if manifest["kind"] == "CronJob" else 63
        assert len(manifest["metadata"]["name"]) <= limit


@pytest.mark.parametrize("release", ["123", "on", "1e3", "0x1f", "2026-11-28"])
@pytest.mark.parametrize("name", ["everything on", "awkward"])
def test_a_release_may_be_called_like_a_number(
    kubernetes: dict[str, Path], name: str, release: str
) -> None:
    done = template(VALUE_SETS[name], release=release)

    assert kubeconform(done.stdout, kubernetes[NEWEST]) == []


def test_no_number_is_written_with_an_exponent() -> None:
    whole = "".join(rendered(VALUE_SETS[name]) for name in ("awkward", "awkward with keda"))

    assert "1000000" in whole
    assert not re.findall(r".*: \d\.?\d*e\+?\d+$", whole, re.M)


def test_every_value_is_in_the_schema_and_in_no_schema_is_another() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"].pop("global")

    def compare(values: dict[str, Any], known: dict[str, Any]) -> None:
        assert values.keys() == known["properties"].keys()
        for name, value in values.items():
            if "properties" in known["properties"][name]:
                compare(value, known["properties"][name])

    compare(read_yaml(CHART / "values.yaml"), schema)


def test_every_dashboard_is_a_config_map_that_grafana_finds() -> None:
    shown = {
        file: text
        for manifest in manifests(MONITORING)
        if manifest["metadata"]["labels"].get("grafana_dashboard") == "1"
        for file, text in manifest["data"].items()
    }

    ours = {
        path.name: path.read_text().replace('"/public/deploy/RUNBOOK.md', f'"{RUNBOOK}')
        for path in (GRAFANA / "dashboards").glob("*.json")
    }
    assert shown == ours
    assert "/public/deploy" not in "".join(shown.values())


def test_dashboards_may_be_without_the_label() -> None:
    for labels in ({"grafana_dashboard": None}, {"grafana_dashboard": None, "a": "b"}):
        done = template(merged(MONITORING, {"dashboards": {"labels": labels}}))
        shown = [
            one["metadata"]["labels"]
            for one in yaml.safe_load_all(done.stdout)
            if one and one["kind"] == "ConfigMap"
        ]

        assert len(shown) == len(list((GRAFANA / "dashboards").glob("*.json")))
        assert all("grafana_dashboard" not in one for one in shown)
        assert all(("a" in one) == ("a" in labels) for one in shown)


def test_the_alert_rules_are_prometheus_own_with_links_to_a_runbook() -> None:
    rules = one("PrometheusRule", MONITORING)["spec"]
    text = (PROMETHEUS.parent / "rules.yml").read_text()
    links = set(re.findall(r"runbook_url: ([^#\s]+)", text))

    (link,) = links
    assert rules == yaml.safe_load(text.replace(link, RUNBOOK))


def job(namespace: str) -> str:
    """The job under which a release in that namespace is scraped."""
    done = template(MONITORING, namespace=namespace)
    monitors = [
        one
        for one in yaml.safe_load_all(done.stdout)
        if one and one["kind"] == "ServiceMonitor"
    ]
    ((endpoint,),) = (monitor["spec"]["endpoints"] for monitor in monitors)
    (relabeling,) = endpoint["relabelings"]
    assert relabeling.keys() == {"targetLabel", "replacement"}
    assert relabeling["targetLabel"] == "job"
    return str(relabeling["replacement"])


def test_workers_are_scraped_as_a_job_that_the_alert_rules_select() -> None:
    rules = json.dumps(one("PrometheusRule", MONITORING)["spec"])
    selected = set(re.findall(r'job=~\\"(.*?)\\"', rules))
    service = one("Service", MONITORING)["metadata"]
    labels = one("ServiceMonitor", MONITORING)["spec"]["selector"]["matchLabels"]

    assert selected
    assert labels.items() <= service["labels"].items()
    # Without a ServiceMonitor of ours the job is, as a rule, the Service's name.
    for name in (job("plant"), service["name"]):
        assert all(re.fullmatch(one, name) for one in selected)


def test_releases_of_one_name_in_two_namespaces_are_two_jobs() -> None:
    assert job("plant") == "plant/line-1-worker"
    assert job("office") == "office/line-1-worker"


def test_a_scrape_is_as_frequent_as_the_alert_rules_need() -> None:
    rules = json.dumps(one("PrometheusRule", MONITORING)["spec"])
    minutes = min(int(one) for one in re.findall(r"\[(\d+)m\]", rules))

    # A rate takes two scrapes, one of which may fail.
    assert minutes >= 3
    for interval in ("1s", "15s", "60s", "1m"):
        assert template({"serviceMonitor": {"interval": interval}}).returncode == 0
    for interval in ("61s", "100s", "2m", "10m", "0s", "1h"):
        refused = template({"serviceMonitor": {"interval": interval}})
        assert "/serviceMonitor/interval" in refused.stderr


def test_the_readme_names_values_that_there_are() -> None:
    (section,) = re.findall(r"^## On Kubernetes$(.*?)^## ", README.read_text(), re.M | re.S)
    table = re.findall(r"^\| (`.*?) \|", section, re.M)
    named = {*re.findall(r"--set ([\w.]+)=", section), *re.findall("`(.+?)`", str(table))}

    assert len(named) > 10
    for name in named:
        values: Any = read_yaml(CHART / "values.yaml")
        for part in name.split("."):
            assert part in values, name
            values = values[part]
