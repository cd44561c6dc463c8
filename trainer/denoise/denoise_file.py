"""`trainer denoise` from a file to a file, in memory that does not grow with its rows."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.detector import artifact
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.load import load_reference
from pipeline.detector.scaling import POOLED
from pipeline.errors import InputError
from pipeline.files import check_writable
from pipeline.records import FloatArray
from pipeline.score import choose_device
from trainer.data_stream import DataStream, Lines
from trainer.denoise.look import fitted, on_time
from trainer.denoise.noise import MAX_NOISE
from trainer.denoise.overlap import Finished, Overlap
from trainer.denoise.smoothing import Smoothing
from trainer.table_out import TIME, TableOut, check_suffix, names, table_out, times


def denoise_file(
    folder: Path,
    data: Path,
    out: Path,
    noise: float | None,
    device: str,
    on_progress: Callable[[float], None] = lambda done: None,
) -> list[str]:
    """Write a file's readings as they would be without noise, and say what was done.

    Each row becomes the mean of its reconstructions in all windows that hold it, and as
    much of the residuals around it as is signal: see `fit_smoothing`. It is written once no
    further window can hold it. Rows of a unit stay in order; those of different units come
    in the order in which they are finished. Late rows are left out, see `DataStream`, and
    units shorter than a window stay as they are.

    Args:
        folder: the detector's.
        data: CSV or Parquet, with all of the detector's sensors.
        out: `.parquet` or `.csv`: `time`, `unit`, the sensors in their own units, and
            `label` where there is one.
        noise: standard deviation of the noise, in those of each sensor over the history;
            None: see `estimated_noise`.
        device: auto, cpu, cuda or cuda:N.
        on_progress: told the share of rows that are done, 0 to 1.

    Raises:
        InputError: an input cannot be used, or `out` cannot be written. Nothing is then
            left behind, and a file that was there still is.
    """
    check_suffix(out)
    check_writable(out, [data, folder])
    # Not so of NaN either.
    if noise is not None and not 0.0 <= noise <= MAX_NOISE:
        raise InputError(f"--noise {noise}: expected 0 to {MAX_NOISE:g}")
    loaded = artifact.load(folder)
    loaded.detector.to(choose_device(device))
    smoothing = fitted(
        DataStream(data, loaded), loaded, load_reference(folder, loaded), noise
    )
    stream = DataStream(data, loaded)
    sensors = loaded.detector.sensors
    fields = [("time", TIME), ("unit", pa.string())]
    fields += [(sensor, pa.float32()) for sensor in sensors]
    fields += [("label", pa.int8())] if stream.is_labelled else []
    with table_out(out, "the readings", pa.schema(fields)) as table:
        n_as_they_were = n_filled = 0
        for finished in _finished(stream, loaded, on_progress):
            n_as_they_were += int((~finished.is_reconstructed_E).sum())
            values_EF = finished.rows.values_NF[finished.is_reconstructed_E]
            n_filled += int(np.isnan(values_EF).sum())
            _write(table, stream, loaded.detector, finished, smoothing)
    lines = [_about_noise(smoothing.noise_F, sensors, noise), *stream.notes]
    if n_filled:
        lines.append(f"{n_filled:,} missing values were filled")
    if n_as_they_were:
        lines.append(
            f"{n_as_they_were:,} rows of units shorter than a window stay as they were"
        )
    return [*lines, f"readings written: {out} ({table.n_rows:,} rows)"]


def denoised(finished: Finished, smoothing: Smoothing) -> FloatArray:
    """The finished rows without noise, scaled, shape (E, F). NaN without any window."""
    return finished.expected_MF[finished.at_E] + smoothing.added(finished.around)


def _finished(
    stream: DataStream, loaded: LoadedDetector, on_progress: Callable[[float], None]
) -> Iterator[Finished]:
    overlap = Overlap(loaded.detector)
    lines = Lines(loaded.detector)
    for piece in stream.pieces(on_progress):
        rows, unit_N = on_time(piece)
        line_U = lines.of(stream.units)
        yield from overlap.extend(rows, unit_N, line_U, len(stream.units))
    yield from overlap.finish(lines.of(stream.units))


def _write(
    table: TableOut,
    stream: DataStream,
    detector: Detector,
    finished: Finished,
    smoothing: Smoothing,
) -> None:
    """Append finished rows in the order of the file."""
    order_E = np.argsort(finished.rows.row_N, kind="stable")
    rows, unit_E = finished.rows, finished.unit_E[order_E]
    line_E = POOLED if finished.line_E is None else finished.line_E[order_E]
    values_EF = np.where(
        finished.is_reconstructed_E[order_E, None],
        detector.scaling.unscaled(denoised(finished, smoothing)[order_E], line_E),
        rows.values_NF[order_E],
    )
    columns = {
        "time": times(rows.time_s_N[order_E]),
        "unit": names(stream.units, unit_E),
        **dict(zip(detector.sensors, values_EF.T, strict=True)),
    }
    if stream.is_labelled:
        columns["label"] = rows.label_N[order_E].astype(np.int8)
    table.write(columns)


def _about_noise(noise_F: FloatArray, sensors: tuple[str, ...], given: float | None) -> str:
    if given is not None:
        return f"noise: {given:g} standard deviations of each sensor, as given"
    if not noise_F.any():
        return "noise: no more than in the history, so no value was changed for it"
    largest = np.argsort(-noise_F, kind="stable")[:3].tolist()
    return (
        f"noise beyond the history's: {np.median(noise_F):.2g} standard deviations, median "
        f"of {len(sensors)} sensors; most in "
        + ", ".join(f"{sensors[f]!r} ({noise_F[f]:.2g})" for f in largest)
    )
