"""`python -m tests.bench.quality DATA`: trains on every file, and prints one table."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from tests.bench.quality.measure import FileResult, SetResult, measure, summary
from tests.bench.quality.sets import SETS, read_set
from trainer.settings import TrainerSettings


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option(help="Sets, separated by commas.")] = ",".join(SETS),
    model: Annotated[str, typer.Option(help="As of `trainer fit`.")] = "ensemble",
    seeds: Annotated[int, typer.Option(help="Seeds, from 0.")] = 5,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the trainer.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Train and measure on every file of every set, once a seed."""
    torch.set_num_threads(1)
    overrides = dict(text.split("=", 1) for text in assignments or [])
    console = Console(stderr=True)
    results: list[SetResult] = []
    files: list[dict[str, object]] = []
    for name in sets.split(","):
        recordings = read_set(data / name)
        by_seed: list[list[FileResult]] = []
        for seed in range(seeds):
            settings = TrainerSettings.model_validate({**overrides, "seed": seed})
            by_seed.append(measure(recordings, model, settings))
            console.print(f"{name}, seed {seed}: {_line(summary(name, by_seed[-1:]))}")
            files += [
                {"set": name, "seed": seed, **result.as_dict()} for result in by_seed[-1]
            ]
        results.append(summary(name, by_seed))
    _print(results)
    if out is not None:
        summaries = [result.as_dict() for result in results]
        out.write_text(json.dumps({"sets": summaries, "files": files}, indent=1))


def _line(result: SetResult) -> str:
    return ", ".join(f"{key} {np.mean(v):.3f}" for key, v in result.figures.items())


def _print(results: list[SetResult]) -> None:
    console = Console()
    table = Table("set", "figure", "mean", "spread", box=None)
    for result in results:
        for key, values in result.figures.items():
            spread = f"{np.min(values):.3f} to {np.max(values):.3f}"
            table.add_row(result.name, key, f"{np.mean(values):.3f}", spread)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
