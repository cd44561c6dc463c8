"""Imports run one way: `__main__`, worker, steps, detector, records and errors."""

import ast
from pathlib import Path

import pytest

import pipeline
import trainer

PACKAGES = [Path(package.__path__[0]) for package in (pipeline, trainer)]
ROOT = PACKAGES[0].parent
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for package in PACKAGES
    for path in sorted(package.rglob("*.py"))
}

# Which files may import a package: those whose path begins with one of these.
ALLOWED = {
    "kafka": ("pipeline/transport/",),
    "confluent_kafka": ("pipeline/transport/confluent",),
    "torch": ("pipeline/score.py", "pipeline/detector/", "pipeline/run.py", "trainer/"),
    "prometheus_client": (
        "pipeline/metrics",
        "pipeline/health.py",
        "pipeline/run.py",
        "pipeline/processes",
    ),
    "scipy": ("trainer/",),
    "opentelemetry": ("pipeline/otel.py",),
    "trainer": ("trainer/",),
}
BASE = {"pipeline.records", "pipeline.errors", "pipeline.times", "pipeline.trail"}
# What a step's inputs and outputs are made of may stand beside the step that makes them.
STEPS = {
    "decode": set(),
    "trigger": set(),
    "units": set(),
    "window": set(),
    "score": {
        "pipeline.detector.detector",
        "pipeline.detector.latent",
        "pipeline.detector.scaling",
        "pipeline.window",
    },
    "incident": {"pipeline.trigger", "pipeline.window"},
    "alert": {"pipeline.incident"},
    "dead_letter": {"pipeline.transport.base"},
    "rejection": set(),
}


def imported(tree: ast.AST) -> set[str]:
    """Every module a source imports, wherever in it, by its full name."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reads_environment(tree: ast.AST) -> bool:
    """Whether a source uses `os.environ` or `os.getenv`, under any import."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "getenv", "environb"))
        for node in ast.walk(tree)
    )


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_is_imported_only_where_it_belongs(package: str) -> None:
    importers = [
        source
        for source, tree in SOURCES.items()
        if any(name.split(".")[0] == package for name in imported(tree))
    ]

    assert importers
    assert [s for s in importers if not s.startswith(ALLOWED[package])] == []


def test_the_environment_is_read_only_in_main() -> None:
    readers = [source for source, tree in SOURCES.items() if reads_environment(tree)]

    assert readers
    assert [source for source in readers if not source.endswith("/__main__.py")] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_calls_no_other_step(step: str) -> None:
    modules = {source.removesuffix(".py").replace("/", ".") for source in SOURCES}
    ours = imported(SOURCES[f"pipeline/{step}.py"]) & modules

    assert ours <= BASE | STEPS[step]


@pytest.mark.parametrize("source", [s for s in SOURCES if "/detector/" in s])
def test_the_detector_knows_no_step(source: str) -> None:
    ours = {name for name in imported(SOURCES[source]) if name.startswith("pipeline.")}

    allowed = ("detector", "records", "errors", "trail", "window")
    assert all(name.split(".")[1] in allowed for name in ours)


def test_records_and_errors_import_nothing_of_ours() -> None:
    for source in ("pipeline/records.py", "pipeline/errors.py", "pipeline/times.py"):
        assert not any(n.startswith("pipeline") for n in imported(SOURCES[source]))


def test_what_is_kept_of_units_knows_records_and_nothing_else_of_ours() -> None:
    ours = {n for n in imported(SOURCES["pipeline/trail.py"]) if n.startswith("pipeline")}

    assert {".".join(name.split(".")[:2]) for name in ours} == {"pipeline.records"}


def test_only_the_wiring_knows_the_worker() -> None:
    knowing = {s for s, tree in SOURCES.items() if "pipeline.worker" in imported(tree)}

    assert knowing <= {"pipeline/run.py", "pipeline/offline.py", "pipeline/__main__.py"}


def test_nothing_imports_a_command_line() -> None:
    importers = [
        s for s, tree in SOURCES.items() if any("__main__" in n for n in imported(tree))
    ]

    assert all(source.endswith("/__main__.py") for source in importers)
