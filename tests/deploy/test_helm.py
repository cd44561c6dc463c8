"""The chart as a whole: what Kubernetes takes, and which values are refused."""

import json
import re
import tarfile
import tomllib
from importlib.resources import files
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
    rendered,
    run,
    template,
)
from tests.deploy.test_names import PROGRAMS

RUNBOOK = MONITORING["runbook"]
README = ROOT / "README.md"
OURS = Path(__file__).parent / "schemas"
DEFINITIONS = "_definitions.json"

every_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By version, a folder of Kubernetes' own schemas of all that the chart makes."""
    names = {kind.lower() for values in VALUE_SETS.values() for kind in kinds(values)}
    packed = files("kubernetes_validate") / "kubernetes-json-schema"
    folders = {}
    for version in (OLDEST, NEWEST):
        folder = folders[version] = tmp_path_factory.mktemp(f"kubernetes-{version}-")
        for file in (packed / f"v{version}.0-local-strict").iterdir():
            if file.name.split("-")[0] in names or file.name == DEFINITIONS:
                # By their own name they would look for each other on the internet.
                schema = json.loads(file.read_text().replace("/api/", ""))
                schema.pop("$id", None)
                (folder / file.name).write_text(json.dumps(schema))
    return folders


def kubeconform(text: str, schemas: Path) -> list[str]:
    """What is wrong with the manifests, one line each."""
    places = (
        schemas / "{{ .ResourceKind }}{{ .KindSuffix }}.json",
        OURS / "{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json",
    )
    options = [option for place in places for option in ("-schema-location", str(place))]
    done = run("kubeconform", "-strict", "-output", "json", *options, text=text)
    report = json.loads(done.stdout)
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in report["resources"]]


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
    options = ("--values", "-", "--kube-version", NEWEST)
    text = json.dumps(merged(MINIMAL, VALUE_SETS["everything on"]))

    done = run("helm", "template", "r" * 53, str(CHART), *options, text=text)

    for manifest in filter(None, yaml.safe_load_all(done.stdout)):
        # A CronJob's is lower, for the names of its Jobs.
        limit = 52 if manifest["kind"] == "CronJob" else 63
        assert len(manifest["metadata"]["name"]) <= limit


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


def test_the_alert_rules_are_prometheus_own_with_links_to_a_runbook() -> None:
    rules = one("PrometheusRule", MONITORING)["spec"]
    text = (PROMETHEUS.parent / "rules.yml").read_text()
    links = set(re.findall(r"runbook_url: ([^#\s]+)", text))

    (link,) = links
    assert rules == yaml.safe_load(text.replace(link, RUNBOOK))


def test_workers_are_scraped_as_a_job_that_the_alert_rules_select() -> None:
    rules = json.dumps(one("PrometheusRule", MONITORING)["spec"])
    selected = set(re.findall(r'job=~\\"(.*?)\\"', rules))
    service = one("Service", MONITORING)["metadata"]
    labels = one("ServiceMonitor", MONITORING)["spec"]["selector"]["matchLabels"]

    assert selected
    assert labels.items() <= service["labels"].items()
    # The operator's name for a job, unless told otherwise, is the Service's.
    assert all(re.fullmatch(one, service["name"]) for one in selected)


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


def test_the_notes_name_what_is_there_and_commands_that_exist(tmp_path: Path) -> None:
    values = merged(VALUE_SETS["everything on"], {"staticMembership": False})
    notes = notes_of(values, tmp_path)
    names = {
        f"{one['kind']}/{one['metadata']['name']}".lower() for one in manifests(values)
    }

    named = set(re.findall(r"((?:deployment|cronjob|job)/[\w-]+)", notes))
    commands = re.findall(r"-- (pipeline|trainer) ([\w-]+)", notes)

    assert named - {"job/line-1-retrain-now"} <= names
    assert commands
    for program, command in commands:
        assert command in vars(PROGRAMS[program])["commands"]


def packed(folder: Path) -> Path:
    """The chart as one file, into which links are followed."""
    done = run("helm", "package", str(CHART), "--destination", str(folder))
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tgz"))


def notes_of(values: Values, folder: Path) -> str:
    """What is shown after an install, which `helm template` leaves out."""
    with tarfile.open(packed(folder)) as archive:
        archive.extractall(folder, filter="data")
    chart = folder / "sensor-anomaly-pipeline"
    (chart / "templates" / "shown.yaml").write_text(
        'notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
    )
    done = template(values, chart)
    shown = next(
        filter(lambda one: one and "notes" in one, yaml.safe_load_all(done.stdout))
    )
    return str(shown["notes"])
