"""`trainer decompress` from a file back to a table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from pipeline.errors import InputError
from pipeline.files import check_writable
from pipeline.score import choose_device
from pipeline.table import NOT_SENSORS
from pipeline.times import END_OF_CALENDAR_S
from trainer.compress.blocks import decoded_rows
from trainer.compress.columns import Quantiser
from trainer.compress.decoder import LatentDecoder
from trainer.compress.layout import Block, End, Header, damaged, frames
from trainer.compress.source import Rows
from trainer.table_out import TIME, check_suffix, names, table_out


class Restored(NamedTuple):
    """What came of a file."""

    n_rows: int
    n_sensors: int
    max_error: float
    n_changed: int
    """Blocks whose values have other last bits than when they were written."""


def decompress_file(
    path: Path,
    out: Path,
    device: str,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Restored:
    """Write the table that a compressed file holds.

    Args:
        path: as `compress_file` writes it.
        out: CSV or Parquet; replaced if it is there.
        device: auto, cpu, cuda or cuda:N.
        on_progress: told the share of the file that is read, 0 to 1.

    Raises:
        InputError: the file cannot be used, or `out` cannot be written. Nothing is then
            left behind, and a table that was there still is.
    """
    check_suffix(out)
    check_writable(out, [path])
    chosen = choose_device(device)
    try:
        n_bytes = path.stat().st_size
        with path.open("rb") as file:
            read = frames(path, file)
            header = next(read)
            if not isinstance(header, Header):
                raise damaged(path, "it begins without a header")
            with _refused(path):
                table = _CompressedTable(header, chosen)
            with table_out(out, "the table", table.schema) as writer:
                n_changed = 0
                for frame in read:
                    if isinstance(frame, Block):
                        with _refused(path):
                            rows, is_same = table.rows(frame)
                        writer.write(table.columns(rows))
                        n_changed += not is_same
                        on_progress(file.tell() / n_bytes)
                    elif isinstance(frame, End) and frame.n_rows != writer.n_rows:
                        raise damaged(path, "rows are missing")
                return Restored(writer.n_rows, table.n_sensors, header.max_error, n_changed)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


class _CompressedTable:
    """What a header says of all blocks."""

    def __init__(self, header: Header, device: torch.device) -> None:
        self._columns, self._units = header.columns, header.units
        sensors = [name for name in header.columns if name not in NOT_SENSORS]
        self.n_sensors = len(sensors)
        if len(set(header.columns)) != len(header.columns) or "time" not in header.columns:
            raise ValueError("its columns are no table's")
        self._quantisers = [
            _quantiser(low, high, header.max_error)
            for low, high in zip(header.minimum, header.maximum, strict=True)
        ]
        if len(self._quantisers) != self.n_sensors:
            raise ValueError("its ranges do not fit its sensors")
        self._sensors = sensors
        self._decoder: LatentDecoder | None = None
        self._decoder_columns: list[int] = []
        if header.decoder is not None:
            self._decoder = LatentDecoder(header.decoder, len(header.units), device)
            position = {sensor: index for index, sensor in enumerate(sensors)}
            self._decoder_columns = [position[s] for s in self._decoder.sensors]

    @property
    def schema(self) -> pa.Schema:
        """Of the table to write."""
        kinds = {"time": TIME, "unit": pa.string(), "label": pa.int8()}
        return pa.schema(
            [pa.field(name, kinds.get(name, pa.float32())) for name in self._columns]
        )

    def rows(self, block: Block) -> tuple[Rows, bool]:
        """See `decoded_rows`."""
        # What a damaged file makes of a number is refused, or is some other number.
        with np.errstate(all="ignore"):
            rows, is_same = decoded_rows(
                block,
                self._quantisers,
                len(self._units),
                self._decoder,
                self._decoder_columns,
            )
        if (rows.label_N is None) == ("label" in self._columns):
            raise ValueError("labels where there are none, or none where there are")
        if rows.time_us_N.min() < 0 or rows.time_us_N.max() >= END_OF_CALENDAR_S * 1e6:
            raise ValueError("a time beyond the calendar")
        return rows, is_same

    def columns(self, rows: Rows) -> dict[str, pa.Array]:
        """Rows as a table's columns."""
        columns = {
            sensor: pa.array(np.ascontiguousarray(value_N), from_pandas=True)
            for sensor, value_N in zip(self._sensors, rows.values_NF.T, strict=True)
        }
        columns["time"] = pa.array(rows.time_us_N).cast(TIME)
        columns["unit"] = names(self._units, rows.unit_N)
        if rows.label_N is not None:
            columns["label"] = pa.array(rows.label_N.astype(np.int8))
        return columns


def _quantiser(low: float, high: float, max_error: float) -> Quantiser:
    largest = float(np.finfo(np.float32).max)
    if not -largest <= low <= high <= largest or not max_error <= 1.0:
        raise ValueError("its ranges are not ranges")
    return Quantiser(low, high, max_error)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What the content of a file makes our code and the libraries raise."""
    try:
        yield
    except (ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise damaged(path, str(error)) from error
