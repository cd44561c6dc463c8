"""`trainer denoise` on the command line."""

from pathlib import Path
from typing import Annotated

import typer


def denoise(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet: time, unit, sensors.")],
    out: Annotated[Path, typer.Option(help="File to write: .parquet or .csv.")],
    noise: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise, in each sensor's own over the history. "
            "By default what the readings have more of it than the history."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write readings with their noise taken off and their gaps filled in."""
    from pipeline.bar import progress_bar
    from trainer.denoise.denoise_file import denoise_file

    with progress_bar("denoising") as on_progress:
        lines = denoise_file(detector, data, out, noise, device, on_progress)
    for line in lines:
        print(line)
