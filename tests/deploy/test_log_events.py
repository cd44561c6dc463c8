"""The table of log lines holds what the code logs, and nothing else."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pipeline
import trainer

PACKAGES = [Path(package.__path__[0]) for package in (pipeline, trainer)]
TABLE = PACKAGES[0].parent / "deploy" / "LOGS.md"
LEVELS = {level: level for level in ("debug", "info", "warning", "error", "critical")}
LEVELS |= {"exception": "error"}


class Line(NamedTuple):
    event: str
    """With a star for what is filled in."""
    level: str
    fields: frozenset[str]


def is_logger(node: ast.expr) -> bool:
    """`log`, or `structlog.get_logger()`."""
    if isinstance(node, ast.Name):
        return node.id == "log"
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "structlog.get_logger"


def text(node: ast.expr) -> str:
    """A string as the code has it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "*"
            for part in node.values
        )
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return str(node.value)


def lines_in(source: str) -> set[Line]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and is_logger(node.func.value)
        ):
            fields = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
            found.add(Line(text(node.args[0]), LEVELS[node.func.attr], fields))
    return found


def logged() -> set[Line]:
    """What the code logs; what several places log has the fields of all."""
    sources = [path.read_text() for p in PACKAGES for path in sorted(p.rglob("*.py"))]
    return set().union(*map(lines_in, sources))


def told() -> dict[str, Line]:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TABLE.read_text().splitlines()
        if line.startswith("| `")
    ]
    table = {}
    for event, level, meaning, fields in rows:
        assert meaning
        names = frozenset(field.strip("` ") for field in fields.split(",") if field)
        assert event not in table
        table[event.strip("`")] = Line(event.strip("`"), level, names)
    return table


def test_every_line_that_is_logged_is_told_of() -> None:
    lines = logged()

    assert len(lines) > 20
    for line in lines:
        rows = [row for name, row in told().items() if fnmatchcase(name, line.event)]
        assert rows, f"{line.event}: not in {TABLE}"
        for row in rows:
            assert (row.level, row.fields) == (line.level, line.fields), row.event


def test_every_line_that_is_told_of_is_logged() -> None:
    patterns = [line.event for line in logged()]

    left = [name for name in told() if not any(fnmatchcase(name, p) for p in patterns)]
    assert left == []


def test_names_of_events_are_words_and_never_made_of_what_others_send() -> None:
    for line in logged():
        assert line.event.replace("*", "x").isidentifier()
    assert {line.event for line in logged() if "*" in line.event} == {"incident_*"}


def test_the_reader_of_the_code_finds_lines_of_each_form() -> None:
    source = """
log.info("plain", a=1)
log.warning(f"made_{x}", b=2)
structlog.get_logger().error("long", c=3)
log.exception("raised")
other.info("not ours")
"""

    assert lines_in(source) == {
        Line("plain", "info", frozenset("a")),
        Line("made_*", "warning", frozenset("b")),
        Line("long", "error", frozenset("c")),
        Line("raised", "error", frozenset()),
    }
