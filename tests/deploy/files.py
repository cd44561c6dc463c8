"""The deployment files, read."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = GRAFANA / "dashboards" / "overview.json"

_VARIABLE = re.compile(r"\$\{(\w+)(?::?([-+])([^}]*))?\}")


def compose() -> dict[str, Any]:
    """`docker-compose.yml` as it is when no variable is set."""
    text = _VARIABLE.sub(
        lambda found: found[3] if found[2] == "-" else "", COMPOSE.read_text()
    )
    return dict(yaml.safe_load(text))


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def read_yaml(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, continuation lines joined."""

    name: str
    rest: str

    def exec_form(self) -> list[str]:
        """The words of a command. Fails for a command that a shell would run."""
        words = json.loads(self.rest[self.rest.index("[") :])
        assert all(isinstance(word, str) for word in words)
        return list(words)


def dockerfile_stages() -> list[list[Instruction]]:
    """The Dockerfile's stages, each with its `FROM` first."""
    lines = (
        line
        for line in DOCKERFILE.read_text().splitlines()
        if not line.lstrip().startswith("#")
    )
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, rest.strip()))
    return stages


def last_instruction(name: str) -> Instruction:
    """What the finished image takes for `name`: the last stage's last one."""
    return [one for one in dockerfile_stages()[-1] if one.name == name][-1]


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something; rows are headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of the dashboard, with its panel's title."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target
