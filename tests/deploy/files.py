"""The deployment files, read."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULES = PROMETHEUS.with_name("rules.yml")
RULES_TEST = PROMETHEUS.with_name("rules_test.yml")
RULES_DAYS_TEST = PROMETHEUS.with_name("rules_days_test.yml")
ALERTMANAGER = PROMETHEUS.with_name("alertmanager.yml")
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))

_VARIABLE = re.compile(r"\$\{(\w+)(?::?([-+])([^}]*))?\}")


def compose(variables: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """`docker-compose.yml` with some variables set, by default none."""

    def value(found: re.Match[str]) -> str:
        name, sign, other = found.groups()
        if name in variables:
            return other if sign == "+" else variables[name]
        return other if sign == "-" else ""

    return dict(yaml.safe_load(_VARIABLE.sub(value, COMPOSE.read_text())))


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


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard, by the name of its file."""
    return {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel that shows something, with its name; rows are headings."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield f"{name}: {panel['title']}", panel


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of a panel, with its name."""
    for name, panel in panels():
        for target in panel["targets"]:
            yield f"{name} {target['refId']}", target


def annotations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every query of an annotation, with its name."""
    for name, dashboard in dashboards().items():
        for annotation in dashboard["annotations"]["list"]:
            yield f"{name}: {annotation['name']}", annotation


def rules() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]


def recordings() -> dict[str, str]:
    """Each recorded series, and what it is made of."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts, by their names."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def headings(markdown: str) -> dict[str, str]:
    """Each heading's anchor, as the usual hosts make it, and the text below."""
    parts = re.split(r"^#+ (.+)$", markdown, flags=re.M)
    return {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-"): text
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }
