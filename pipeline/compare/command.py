"""`pipeline compare`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.given import given_path


def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A", parser=given_path, help="Detector folder.")
    ],
    b: Annotated[Path, typer.Argument(metavar="B", parser=given_path, help="Another one.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            parser=given_path,
            help="CSV or Parquet. Without it, the readings topic is read.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Of the topic: 2026-11-28T07:00, or 24h ago."
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Alike. By default now.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Most records of the topic to read. By default 10 million."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            parser=given_path,
            help="CSV of known events: unit, begin, end.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    page: Annotated[
        Path | None,
        typer.Option(parser=given_path, help="HTML file to write, with pictures."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the worker."),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="File with lines of PIPELINE_NAME=value.")
    ] = None,
    secrets_dir: Annotated[
        Path | None, typer.Option(help="Folder with one file per setting.")
    ] = None,
) -> None:
    """Say what detector B would have found where A was at work, or the other way round."""
    from pipeline.compare.run import Asked, run
    from pipeline.configured import configured
    from pipeline.settings import ReplaySettings

    # What the worker would log of incidents and bad records, the comparison says.
    named = {"log.level": "error"}
    if device is not None:
        named["device"] = device
    settings = configured(ReplaySettings, named, assignments, env_file, secrets_dir)
    asked = Asked(a, b, data, begin, end, limit, labels, page)
    from pipeline.bar import progress_bar

    with progress_bar("comparing") as on_progress:
        comparison = run(asked, settings, on_progress)

    from pipeline.compare.show import json_text, show_comparison

    if as_json:
        print(json_text(comparison))
    else:
        show_comparison(comparison)
        if page is not None:
            print(f"page written: {page}")
