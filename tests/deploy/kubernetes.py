"""Whether Kubernetes would take a manifest, by its own schemas and those of operators."""

import json
from importlib.resources import files
from pathlib import Path

from tests.deploy.helm import NEWEST, OLDEST, VALUE_SETS, kinds, run

OURS = Path(__file__).parent / "schemas"
DEFINITIONS = "_definitions.json"


def write_schemas(version: str, folder: Path) -> None:
    """Write Kubernetes' own schemas of all that the chart makes, and of a Pod."""
    assert version in (OLDEST, NEWEST)
    names = {kind.lower() for values in VALUE_SETS.values() for kind in kinds(values)}
    packed = files("kubernetes_validate") / "kubernetes-json-schema"
    for file in (packed / f"v{version}.0-local-strict").iterdir():
        if file.name.split("-")[0] in {*names, "pod"} or file.name == DEFINITIONS:
            # By their own name they would look for each other on the internet.
            schema = json.loads(file.read_text().replace("/api/", ""))
            schema.pop("$id", None)
            (folder / file.name).write_text(json.dumps(schema))


def kubeconform(text: str, schemas: Path) -> list[str]:
    """What is wrong with the manifests, one line each."""
    places = (
        schemas / "{{ .ResourceKind }}{{ .KindSuffix }}.json",
        OURS / "{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json",
    )
    options = [option for place in places for option in ("-schema-location", str(place))]
    done = run("kubeconform", "-strict", "-summary", "-output", "json", *options, text=text)
    report = json.loads(done.stdout)
    summary = report["summary"]
    assert sum(summary.values()) > summary["skipped"] == 0, "nothing was looked at"
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in report["resources"]]
