"""`trainer embed`: one latent vector for every window of a file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.detector import artifact
from pipeline.detector.latent import Encoder
from pipeline.errors import InputError
from pipeline.files import check_writable
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.score import choose_device
from trainer.data_stream import DataStream
from trainer.history import listed
from trainer.latent.plot import COLOURS, LatentSample, write_plot
from trainer.table_out import TIME, check_suffix, names, table_out, times


class Embedded(NamedTuple):
    """B windows of a file, in the order of their newest rows."""

    time_s_B: TimeArray
    """Of each window's newest reading."""
    unit_B: IntArray
    """An index of the stream's units."""
    label_B: BoolArray | None
    """The newest reading's."""
    mean_BL: FloatArray
    std_BL: FloatArray | None
    """Of a VAE's latent Gaussian."""


def embedded(
    stream: DataStream, encoder: Encoder, on_progress: Callable[[float], None]
) -> Iterator[Embedded]:
    """The windows of a file, one for every reading that completes one, some at a time.

    Args:
        stream: of the file.
        encoder: of the stream's detector.
        on_progress: told the share of rows that are done, 0 to 1.

    Raises:
        InputError: see `DataStream.pieces`.
    """
    for piece in stream.pieces(on_progress):
        live = piece.windows
        latents = encoder.latents(live.windows, piece.line_B)
        order_B = np.argsort(live.reading_B)
        reading_B = live.reading_B[order_B]
        yield Embedded(
            time_s_B=piece.readings.time_s_N[reading_B],
            unit_B=live.row_B[order_B],
            label_B=None if piece.label_N is None else piece.label_N[reading_B],
            mean_BL=latents.mean_BL[order_B],
            std_BL=None if latents.std_BL is None else latents.std_BL[order_B],
        )


def embed_file(
    detector: Path,
    data: Path,
    out: Path,
    device: str,
    plot: Path | None = None,
    colour: str | None = None,
    on_progress: Callable[[float], None] = lambda done: None,
) -> list[str]:
    """Write the latent vectors of a file's windows, and return what came of it in words.

    Columns: `time` (of the window's newest reading), `unit`, `label` where the file has
    labels, `latent_0` and so on, and of a VAE the latent Gaussian's standard deviations
    `latent_std_0` and so on. Rows are in the order of the file.

    Args:
        detector: its folder.
        data: CSV or Parquet.
        out: a name that ends in .parquet or .csv; replaced if it is there.
        device: auto, cpu, cuda or cuda:N.
        plot: picture to write, .png or .svg.
        colour: what its dots are coloured by; None: what there is to tell apart.
        on_progress: told the share of rows that are done, 0 to 1.

    Raises:
        InputError: an input cannot be used, or an output cannot be written. Neither is
            then left half-written.
    """
    if colour is not None and colour not in COLOURS:
        raise InputError(f"--colour {colour}: expected {listed(COLOURS)}")
    check_suffix(out)
    check_writable(out, [data, detector])
    if plot is not None:
        check_suffix(plot, "--plot", (".png", ".svg"))
        check_writable(plot, [data, out], "--plot")
    loaded = artifact.load(detector)
    loaded.detector.to(choose_device(device))
    stream = DataStream(data, loaded)
    if colour == "label" and not stream.is_labelled:
        raise InputError(f"--colour label: {data} has no column 'label'")
    encoder = Encoder(loaded.detector)
    sample = LatentSample(encoder.n_latent, colour)
    with table_out(out, "the latent vectors", _schema(encoder, stream)) as table:
        for windows in embedded(stream, encoder, on_progress):
            table.write(_columns(windows, stream.units))
            sample.add(windows.mean_BL, windows.time_s_B, windows.unit_B, windows.label_B)
        if plot is not None:
            write_plot(plot, sample, stream.units)
    lines = [
        *stream.notes,
        f"{table.n_rows:,} windows of {len(stream.units):,} units, {encoder.n_latent} "
        f"numbers each{' and their spreads' if encoder.has_std else ''}: {out}",
    ]
    return lines if plot is None else [*lines, f"picture written: {plot}"]


def _schema(encoder: Encoder, stream: DataStream) -> pa.Schema:
    kinds = ("latent", "latent_std") if encoder.has_std else ("latent",)
    return pa.schema(
        [
            ("time", TIME),
            ("unit", pa.string()),
            *([("label", pa.int8())] if stream.is_labelled else []),
            *(
                (f"{kind}_{index}", pa.float32())
                for kind in kinds
                for index in range(encoder.n_latent)
            ),
        ]
    )


def _columns(windows: Embedded, units: list[str]) -> dict[str, pa.Array]:
    columns = {
        "time": times(windows.time_s_B),
        "unit": names(units, windows.unit_B),
    }
    if windows.label_B is not None:
        columns["label"] = windows.label_B.astype(np.int8)
    for kind, values_BL in (("latent", windows.mean_BL), ("latent_std", windows.std_BL)):
        if values_BL is not None:
            columns |= {f"{kind}_{i}": column for i, column in enumerate(values_BL.T)}
    return columns
