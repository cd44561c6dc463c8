"""A look at the first rows of a file: how noisy they are, and how to smooth them."""

from collections.abc import Sequence

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.scaling import POOLED
from pipeline.records import FloatArray, IntArray
from trainer.data_stream import DataStream, Lines, Piece
from trainer.denoise.noise import estimated_noise
from trainer.denoise.overlap import Finished, Overlap, Rows
from trainer.denoise.smoothing import Around, Smoothing, fit_smoothing

LOOK_ROWS = 100_000
LOOK_VALUES = 2**22
"""Rows that are looked at, and values in them."""
NUDGE = 0.1
"""Of the noise: so small that networks answer in proportion."""
MIN_NUDGE = 1e-3


def on_time(piece: Piece) -> tuple[Rows, IntArray]:
    """A piece's rows without late ones, those of one unit together, and their units."""
    index_N = piece.windows.arrived.reading_N
    readings = piece.readings
    label_N = np.zeros(len(readings), np.bool_) if piece.label_N is None else piece.label_N
    rows = Rows(
        readings.offset_N[index_N],
        readings.time_s_N[index_N],
        label_N[index_N],
        readings.values_NF[index_N],
    )
    return rows, piece.unit_N[index_N]


def fitted(
    stream: DataStream,
    loaded: LoadedDetector,
    normal_BTF: FloatArray,
    noise: float | None,
) -> Smoothing:
    """How a file is to be smoothed.

    Args:
        stream: the file, of which the first rows are read.
        loaded: the detector.
        normal_BTF: short windows of its history, scaled.
        noise: standard deviation of the noise, scaled; None: it is estimated.

    Raises:
        InputError: see `DataStream.pieces`.
    """
    detector = loaded.detector
    rows, unit_N = _first(stream, len(detector.sensors))
    line_U = Lines(detector).of(stream.units)
    line_N = POOLED if line_U is None else line_U[unit_N]
    x_NF = detector.scaling.scaled(rows.values_NF, line_N)
    if noise is None:
        noise_F = estimated_noise(normal_BTF, x_NF, np.diff(unit_N, prepend=-1) == 0)
    else:
        noise_F = np.full(len(detector.sensors), noise, dtype=np.float32)
    size_F = np.maximum(NUDGE * noise_F, np.float32(MIN_NUDGE))
    is_up_NF = np.random.default_rng(0).random(x_NF.shape) < 0.5
    nudged_NF = detector.scaling.unscaled(
        x_NF + np.where(is_up_NF, size_F, -size_F), line_N
    )
    plain = _finished(detector, rows, unit_N, line_U)
    nudged = _finished(detector, rows._replace(values_NF=nudged_NF), unit_N, line_U)
    return fit_smoothing(
        _joined([finished.around for finished in plain]),
        _joined([finished.around for finished in nudged]),
        np.concatenate(
            [b.x_MF[b.at_E] - a.x_MF[a.at_E] for a, b in zip(plain, nudged, strict=True)]
        ),
        noise_F,
    )


def _first(stream: DataStream, n_sensors: int) -> tuple[Rows, IntArray]:
    """The first rows, those of one unit together, and their units."""
    n_most = max(min(LOOK_ROWS, LOOK_VALUES // n_sensors), 1)
    parts: list[tuple[Rows, IntArray]] = []
    n_rows = 0
    for piece in stream.pieces():
        parts.append(on_time(piece))
        n_rows += len(parts[-1][1])
        if n_rows >= n_most:
            break
    rows = Rows._make(map(np.concatenate, zip(*(rows for rows, _ in parts), strict=True)))
    unit_N = np.concatenate([unit_N for _, unit_N in parts])
    first_N = np.argsort(rows.row_N)[:n_most]
    index_N = first_N[np.argsort(unit_N[first_N], kind="stable")]
    return Rows._make(column[index_N] for column in rows), unit_N[index_N]


def _finished(
    detector: Detector, rows: Rows, unit_N: IntArray, line_U: IntArray | None
) -> list[Finished]:
    overlap = Overlap(detector)
    n_units = int(unit_N.max(initial=-1)) + 1
    return [*overlap.extend(rows, unit_N, line_U, n_units), *overlap.finish(line_U)]


def _joined(parts: Sequence[Around]) -> Around:
    """Rows among rows, one part after the other."""
    begins = np.cumsum([0, *(len(part.residual_MF) for part in parts)])
    moved = [
        (part.at_E + begin, part.first_E + begin, part.last_E + begin)
        for part, begin in zip(parts, begins, strict=False)
    ]
    return Around(
        np.concatenate([part.residual_MF for part in parts]),
        *map(np.concatenate, zip(*moved, strict=True)),
    )
