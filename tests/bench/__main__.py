"""`python -m tests.bench`: how fast, as a table of ratios and a JSON file."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from tests.bench.protocol import Line, Unavailable
from tests.bench.site import Site

BENCHMARKS = {
    "throughput": "throughput:run",
    "quix": "rivals:run_quix",
    "bytewax": "rivals:run_bytewax",
    "confluent": "confluent:run",
    "arrays": "arrays:run",
    "growth": "growth:run",
    "latency": "latency:run",
    "start": "start:run",
    "scoring": "scoring:run",
    "training": "training:run",
    "history": "history:run",
    "history50": "history:run_50",
    "ensemble": "throughput:run_ensemble",
}
"""Each a module here and a function of a `Site` in it."""
DEFAULT = tuple(name for name in BENCHMARKS if name != "history50")
"""What runs where nothing is asked for by name: ten minutes of it."""

WIDE = 220
"""Characters of a line that goes to a file."""


def main(
    only: Annotated[
        str | None,
        typer.Option(help=f"Of {', '.join(BENCHMARKS)}; separated by commas."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Of each side, in turn.")] = 3,
    scale: Annotated[
        float, typer.Option(help="Multiplies the numbers of readings.", hidden=True)
    ] = 1.0,
) -> None:
    """Measure, each side in turn, and print one line a comparison.

    Exits with 1 where a benchmark failed, or one that was asked for by name cannot be run.
    """
    # As the worker does by default; what is compared with gets as many.
    torch.set_num_threads(1)
    names = only.split(",") if only is not None else DEFAULT
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise typer.BadParameter(f"{unknown}: choose from {', '.join(BENCHMARKS)}")
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    progress = Console(stderr=True)
    lines: list[Line] = []
    failed: list[str] = []
    not_available: dict[str, str] = {}
    with TemporaryDirectory() as folder, Site(Path(folder), scale, repeats) as site:
        for name in names:
            began_s = time.monotonic()
            try:
                lines += function(name)(site)
            except Unavailable as error:
                progress.print(f"{name}: not available: {error}")
                not_available[name] = str(error)
            except (AssertionError, RuntimeError) as error:
                # The others are still worth their minutes.
                progress.print(f"{name}: failed: {error}", markup=False)
                failed.append(name)
            progress.print(f"{name}: {time.monotonic() - began_s:.0f} s")
            if out is not None:
                # Each time: who stops it early keeps what there is.
                document = {
                    "machine": machine(),
                    "lines": [each.as_dict() for each in lines],
                    "failed": failed,
                    "not_available": not_available,
                }
                out.write_text(json.dumps(document, indent=1))
    missing = dict.fromkeys(not_available, "not available") | dict.fromkeys(
        failed, "failed"
    )
    console.print(table(lines, missing))
    if failed or (not_available and only is not None):
        raise typer.Exit(1)


def function(name: str) -> Callable[[Site], list[Line]]:
    """A benchmark, imported only now: it may need what is not installed."""
    module, _, attribute = BENCHMARKS[name].partition(":")
    found: Callable[[Site], list[Line]] = getattr(
        import_module(f"tests.bench.{module}"), attribute
    )
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was.

    Without the package crc32c kafka-python sums up every batch in Python, which makes it
    several times slower.
    """
    return {
        "has_crc32c": find_spec("crc32c") is not None,
        "n_cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_average": os.getloadavg(),
    }


def table(lines: list[Line], missing: Mapping[str, str] | None = None) -> Table:
    """One line a comparison: medians, and from the lowest to the highest in brackets.

    Args:
        lines: the comparisons.
        missing: benchmarks that gave none, and why.
    """
    columns = ("what", "unit", "ours", "theirs", "against", "ratio", "goal", "met", "n")
    shown = Table(*columns, box=None)
    for column in shown.columns:
        column.no_wrap = True
    met = {None: "", True: "yes", False: "NO"}
    for line in lines:
        shown.add_row(
            line.name,
            line.unit,
            _spread(line.our_median, line.ours),
            _spread(line.their_median, line.theirs),
            line.against,
            _spread(line.ratio, line.ratios),
            " or ".join(map(str, line.goals)),
            met[line.is_met],
            str(len(line.ours)) if len(line.ours) > 1 else "1 (single run)",
        )
    for name, why in (missing or {}).items():
        shown.add_row(name, "", why)
    return shown


def _spread(median: float, figures: Sequence[float]) -> str:
    if len(figures) == 1:
        return _number(median)
    lowest, highest = _number(min(figures)), _number(max(figures))
    return f"{_number(median)} ({lowest} to {highest})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


if __name__ == "__main__":
    typer.run(main)
