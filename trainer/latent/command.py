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
    from trainer.bar import progress_bar
    from trainer.latent.embed import embed_file

    with progress_bar("embedding") as on_progress:
        lines = embed_file(detector, data, out, device, plot, colour, on_progress)
    for line in lines:
        print(line)


def similar(
    archive: Annotated[
        Path, typer.Argument(help="Alert records, one a line, as the topic has them.")
    ],
    incident: Annotated[
        str | None,
        typer.Argument(help="Id of an incident, or how it begins; else the newest."),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Verdicts, one JSON object a line: incident_id, verdict, note."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=1_000, help="At most so many.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Find the past incidents that looked most like one, and what was said of them."""
    from trainer.latent import similar as similar_module

    query, found = similar_module.find_similar(archive, incident, feedback, n)
    if as_json:
        print(similar_module.as_json(query, found))
        return
    for line in similar_module.as_lines(query, found):
        print(line)
