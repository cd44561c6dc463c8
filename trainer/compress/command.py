"""`trainer compress` and `trainer decompress`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trainer.compress.compress import Compressed

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def compress(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet: time, unit, sensors.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    max_error: Annotated[
        str,
        typer.Option(help="Largest error, of each sensor's range in DATA: 0.5% or 0.005."),
    ],
    device: Device = "auto",
) -> None:
    """Write readings as a small file from which every value comes back within a bound."""
    from pipeline.bar import progress_bar
    from trainer.compress.compress import compress_file, parsed_error

    share = parsed_error(max_error)
    with progress_bar("compressing") as on_progress:
        outcome = compress_file(detector, data, out, share, device, on_progress)
    for line in summary(outcome):
        typer.echo(line)
    typer.echo(f"written: {out}")


def decompress(
    file: Annotated[Path, typer.Argument(help="File that `trainer compress` wrote.")],
    out: Annotated[Path, typer.Option(help="Table to write, .parquet or .csv.")],
    device: Device = "auto",
) -> None:
    """Restore the readings of a compressed file. It needs no detector."""
    from pipeline.bar import progress_bar
    from trainer.compress.decompress import decompress_file

    with progress_bar("restoring") as on_progress:
        restored = decompress_file(file, out, device, on_progress)
    typer.echo(
        f"{restored.n_rows:,} rows of {restored.n_sensors} sensors, each value within "
        f"{restored.max_error:.4g} of its sensor's range"
    )
    if restored.n_changed:
        typer.echo(
            f"{restored.n_changed:,} blocks came back with other last digits than when "
            "they were checked: another machine or version of torch. The bound leaves "
            "room for that"
        )
    typer.echo(f"written: {out}")


def summary(outcome: "Compressed") -> list[str]:
    """What a user is told of a compressed table."""

    def size(what: str, n_bytes: int) -> str:
        return f"{what:28} {n_bytes:>14,} bytes  ratio {outcome.raw_bytes / n_bytes:.1f}"

    lines = [
        *outcome.notes,
        f"{outcome.n_rows:,} rows of {outcome.n_sensors} sensors; largest error "
        f"{outcome.largest_error:.4g} of a sensor's range, allowed {outcome.max_error:.4g}",
        size("32-bit floats", outcome.raw_bytes),
        size("plain, without a network", outcome.plain_bytes),
    ]
    if outcome.network_bytes is None:
        return [*lines, "no unit fills a window within a block: plain is used"]
    lines.append(size("with the network, all in it", outcome.network_bytes))
    used = "with the network" if outcome.uses_network else "plain"
    return [*lines, f"{used} is smaller and is used"]
