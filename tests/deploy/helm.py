"""The chart, as Helm renders it with different values."""

import copy
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy import awkward
from tests.deploy.files import ROOT

Values: TypeAlias = Mapping[str, Any]
Manifest: TypeAlias = dict[str, Any]

CHART = ROOT / "deploy" / "helm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOLS = CACHE / "sensor-anomaly-pipeline" / "tools"

OLDEST, NEWEST = "1.27", "1.37"
"""Versions of Kubernetes that the chart is held against."""

MINIMAL: Values = {
    "image": {"repository": "registry.example/pipeline"},
    "kafka": {"bootstrapServers": "kafka:9092"},
}
SASL: Values = {"kafka": {"sasl": {"existingSecret": "kafka-login"}}}
MUTUAL_TLS: Values = {
    "kafka": {
        "tls": {
            "existingSecret": "kafka-tls",
            "certificateKey": "tls.crt",
            "keyKey": "tls.key",
            "keyPasswordKey": "tls.password",
        }
    }
}
RETRAINING: Values = {
    "retraining": {"enabled": True, "history": {"existingClaim": "plant-history"}}
}
MONITORING: Values = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboards": {"enabled": True},
    "runbook": "https://wiki.example/RUNBOOK.md",
}


def merged(*parts: Values) -> Values:
    """One set of values, of which later ones win."""
    result: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            known = result.get(name)
            if isinstance(known, Mapping) and isinstance(value, Mapping):
                result[name] = merged(known, value)
            else:
                result[name] = copy.deepcopy(value)
    return result


VALUE_SETS: dict[str, Values] = {
    "defaults": {},
    "gpu": {"gpu": {"enabled": True, "tag": "0.1.0-cuda", "runtimeClassName": "nvidia"}},
    "keda": {"keda": {"enabled": True}},
    "keda with sasl": merged({"keda": {"enabled": True}}, SASL),
    "sasl": SASL,
    "mutual tls": merged({"keda": {"enabled": True}}, MUTUAL_TLS),
    "retraining": merged(RETRAINING, {"retraining": {"args": ["--model", "vae"]}}),
    "retraining on a gpu": merged(
        RETRAINING, {"gpu": {"tag": "0.1.0-cuda"}, "retraining": {"gpu": True}}
    ),
    "promotion": {"promote": "detector-20261128T030000Z"},
    "shadow": {"shadow": "detector-20261128T030000Z"},
    "static membership": {"staticMembership": True},
    "exactly once": {"kafka": {"delivery": "exactly_once"}},
    "monitoring": MONITORING,
    "everything off": {
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
        "registry": {"existingClaim": "detectors"},
        "topologyKeys": [],
        "settings": {},
        "replicas": 0,
    },
    "awkward": merged(SASL, MONITORING, awkward.WORKER),
    "awkward with keda": awkward.SCALED,
    "everything on": merged(
        SASL,
        MUTUAL_TLS,
        RETRAINING,
        MONITORING,
        {
            "image": {"pullSecrets": ["registry-login"], "digest": "sha256:" + "0" * 64},
            "processes": 2,
            "kafka": {"partitions": 24, "delivery": "exactly_once"},
            "staticMembership": True,
            "settings": {"PIPELINE_POLL__MAX_RECORDS": 500, "PIPELINE_LOG__LEVEL": "debug"},
            "shadow": "detector-20261128T030000Z",
            "promote": "detector-20261121T030000Z",
            "registry": {"storageClassName": "shared"},
            "retraining": {"settings": {"TRAINER_WINDOW": 64}, "gpu": True},
            "gpu": {"enabled": True, "tag": "0.1.0-cuda"},
            "keda": {"enabled": True, "minReplicas": 3},
            "networkPolicy": {
                "metricsFrom": [{"namespaceSelector": {}}],
                "kafkaTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
                "kafkaPorts": [9093, 9094],
                "extraEgress": [{"ports": [{"port": 4317}]}],
            },
            "serviceAccount": {"name": "anomalies", "annotations": {"a": "b"}},
            "podLabels": {"team": "plant"},
            "podAnnotations": {"note": "x"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "high",
        },
    ),
}


def tool(name: str) -> Path:
    """A program that the tests of the chart need."""
    path = TOOLS / name
    if not path.exists():
        pytest.fail(f"{path} is missing: run `bash .ci/tools`, which builds it, once")
    return path


def run(name: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool(name), *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def template(
    values: Values, chart: Path = CHART, release: str = "line-1", namespace: str = "plant"
) -> subprocess.CompletedProcess[str]:
    """What `helm template` says to `values`, on top of those that must be set."""
    text = json.dumps(merged(MINIMAL, values))
    options = ("--values", "-", "--kube-version", NEWEST, "--namespace", namespace)
    return run("helm", "template", release, str(chart), *options, text=text)


def packed(folder: Path) -> Path:
    """The chart as one file, into which links are followed."""
    done = run("helm", "package", str(CHART), "--destination", str(folder))
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.tgz"))


@cache
def _rendered(values: str) -> str:
    done = template(json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: Values) -> str:
    """The manifests as text."""
    return _rendered(json.dumps(values))


def manifests(values: Values) -> list[Manifest]:
    """The manifests of a release called `line-1`."""
    return [dict(one) for one in yaml.safe_load_all(rendered(values)) if one]


def one(kind: str, values: Values) -> Manifest:
    """The one manifest of its kind."""
    (found,) = (manifest for manifest in manifests(values) if manifest["kind"] == kind)
    return found


def kinds(values: Values) -> set[str]:
    return {manifest["kind"] for manifest in manifests(values)}


def worker(values: Values) -> Manifest:
    """The Deployment or StatefulSet."""
    (found,) = (m for m in manifests(values) if m["kind"] in ("Deployment", "StatefulSet"))
    return found


def pods(values: Values) -> Iterator[Manifest]:
    """What each pod of the release is made from."""
    for manifest in manifests(values):
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if isinstance(spec.get("template"), dict):
            yield spec["template"]


def containers(values: Values) -> Iterator[Manifest]:
    for pod in pods(values):
        yield from pod["spec"].get("initContainers", [])
        yield from pod["spec"]["containers"]


def container(manifest: Manifest) -> Manifest:
    """The only container, those that prepare the pod aside."""
    spec = manifest["spec"]
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    (found,) = spec["template"]["spec"]["containers"]
    return dict(found)


def environment(manifest: Manifest) -> dict[str, str]:
    """Variables with a value that is known beforehand."""
    return {
        variable["name"]: variable["value"]
        for variable in container(manifest).get("env", [])
        if "value" in variable
    }
