"""Schemas of what operators add to Kubernetes, from their own definitions.

    python -m tests.deploy.crds DEFINITION.yaml ...

writes `schemas/KIND_VERSION.json`, without descriptions and with unknown fields refused.
The definitions of ScaledObject and TriggerAuthentication lie in the Go module
github.com/kedacore/keda/v2 (v2.21.0) under `config/crd/bases`; those of ServiceMonitor and
PrometheusRule are made by controller-gen (v0.20.1: `controller-gen crd paths=./v1`) from
github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring (v0.95.2). Both are
under the Apache licence 2.0. The schemas are kept here because making them takes 250 MB.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.deploy.files import read_yaml

SCHEMAS = Path(__file__).parent / "schemas"


def strict(schema: Any) -> Any:
    """A schema that refuses what it does not name, where the API server would drop it."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(part) for name, part in schema.items()}
    is_open = "additionalProperties" in schema or schema.get(
        "x-kubernetes-preserve-unknown-fields"
    )
    # A property may itself be called `properties`; then its value is a schema.
    if isinstance(schema.get("properties"), dict) and not is_open and "type" in schema:
        made["additionalProperties"] = False
    return made


def without_texts(schema: Any) -> Any:
    """A schema less its descriptions."""
    if isinstance(schema, list):
        return [without_texts(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_texts(part)
        for name, part in schema.items()
        if not (name == "description" and isinstance(part, str))
    }


def write(definition: Path) -> None:
    """Write the schema of each version that a definition has."""
    spec = read_yaml(definition)["spec"]
    for version in spec["versions"]:
        schema = strict(without_texts(version["schema"]["openAPIV3Schema"]))
        # Whatever Kubernetes fills in itself.
        schema["properties"].pop("status", None)
        name = f"{spec['names']['singular']}_{version['name']}.json"
        (SCHEMAS / name).write_text(json.dumps(schema, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        write(Path(path))
