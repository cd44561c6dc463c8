"""`trainer embed` and `trainer similar` on the command line."""

from pathlib import Path
from typing import Annotated

import typer


def embed(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet: time, unit, sensors.")],
    out: Annotated[Path, typer.Option(help="File to write: .parquet or .csv.")],
    plot: Annotated[
        Path | None, typer.Option(help="Picture to write: .png or .svg.")
    ] = None,
    colour: Annotated[
        str | None,
        typer.Option(
            "--colour",
            "--color",
            help="Of the picture's dots: time, unit or label. By default label where there "
            "is one, else unit where there are several, else time.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write one latent vector for every window: what the detector sees in a few numbers."""
    from pipeline.bar import progress_bar
    from trainer.latent.embed import embed_file

    with progress_bar("embedding") as on_progress:
        lines = embed_file(detector, data, out, device, plot, colour, on_progress)
    for line in lines:
        print(line)


def similar(
    archive: Annotated[
        str,
        typer.Argument(
            help="Alert records: a file, one a line, or kafka://HOST:PORT/TOPIC."
        ),
    ],
    incident: Annotated[
        str | None,
        typer.Argument(help="Id of an incident, or how it begins; else the newest."),
    ] = None,
    feedback: Annotated[
        str | None,
        typer.Option(help="Verdicts: a file, one a line, or kafka://HOST:PORT/TOPIC."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=1_000, help="At most so many.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Find the past incidents that looked most like one, and what was said of them."""
    from trainer.latent import similar as similar_module

    found = similar_module.find_similar(archive, incident, feedback, n)
    if as_json:
        print(similar_module.as_json(found.query, found.similar))
        return
    for line in [*similar_module.as_lines(found.query, found.similar), *found.notes]:
        print(line)
