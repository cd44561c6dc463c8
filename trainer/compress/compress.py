"""`trainer compress` from a table to a file: survey, code both ways, keep the smaller."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from pipeline.detector import artifact
from pipeline.errors import InputError
from pipeline.files import check_writable, replaced_whole
from pipeline.score import choose_device
from trainer.compress.blocks import BlockCoder
from trainer.compress.layout import MAGIC, Block, DecoderPart, End, Header, framed
from trainer.compress.source import Source, Survey

MIN_ERROR, MAX_ERROR = 1e-6, 0.5
"""Of a sensor's range. Below, 32-bit floats are too coarse; above, all values are one."""
SURVEY_SHARE = 0.25
"""Of the work, for the bar."""
RAW_BYTES = 4
"""Of a value as it lies in memory."""


class Compressed(NamedTuple):
    """What came of a table."""

    n_rows: int
    n_sensors: int
    max_error: float
    largest_error: float
    """That was seen, as a share of a sensor's range."""
    plain_bytes: int
    """Of the file without the network."""
    network_bytes: int | None
    """Of the file with it; None where no unit fills a window."""
    notes: list[str]

    @property
    def raw_bytes(self) -> int:
        """Of the sensors' values alone as 32-bit floats."""
        return RAW_BYTES * self.n_rows * self.n_sensors

    @property
    def uses_network(self) -> bool:
        """Whether the file with the network is smaller."""
        return self.network_bytes is not None and self.network_bytes < self.plain_bytes

    @property
    def n_bytes(self) -> int:
        """Of the file that is kept."""
        if self.network_bytes is None:
            return self.plain_bytes
        return min(self.plain_bytes, self.network_bytes)


def parsed_error(text: str) -> float:
    """`0.5%` or `0.005` as a share.

    Raises:
        InputError: it is neither, or not within `MIN_ERROR` and `MAX_ERROR`.
    """
    number, is_percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100.0 if is_percent else 1.0)
    except ValueError:
        share = float("nan")
    if not MIN_ERROR <= share <= MAX_ERROR:
        raise InputError(
            f"--max-error {text}: expected a share of each sensor's range from 0.0001% to "
            "50%, like 0.5% or 0.005"
        )
    return share


def compress_file(
    detector: Path,
    data: Path,
    out: Path,
    max_error: float,
    device: str,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Compressed:
    """Write a table as a file from which every value comes back within the bound.

    Args:
        detector: its folder.
        data: CSV or Parquet.
        out: the file; replaced if it is there.
        max_error: largest error, as a share of each sensor's range in the table.
        device: auto, cpu, cuda or cuda:N.
        on_progress: told the share of the work that is done, 0 to 1.

    Raises:
        InputError: an input cannot be used, or `out` cannot be written. Nothing is then
            left behind, and a file that was there still is.
    """
    check_writable(out, [data, detector])
    loaded = artifact.load(detector)
    loaded.detector.to(choose_device(device))
    source = Source(data, loaded.detector.sensors)
    survey = source.survey(
        max_error, loaded.detector.window, lambda done: on_progress(SURVEY_SHARE * done)
    )
    coder = BlockCoder(loaded.detector, survey.units, survey.quantisers)
    largest = 0.0
    with (
        replaced_whole(out, "the compressed file") as building,
        _Body(out.parent) as plain,
        _Body(out.parent) as network,
    ):
        for rows in source.blocks(
            survey,
            lambda done: on_progress(SURVEY_SHARE + (1.0 - SURVEY_SHARE) * done),
        ):
            coded = coder.coded(rows)
            plain.add(coded.plain)
            network.add(coded.network)
            largest = max(largest, coded.largest_error)
        part = coder.decoder
        n_plain = plain.end(_header(survey, max_error, None), survey.n_rows)
        n_network = network.end(_header(survey, max_error, part), survey.n_rows)
        outcome = Compressed(
            n_rows=survey.n_rows,
            n_sensors=len(survey.quantisers),
            max_error=max_error,
            largest_error=largest,
            plain_bytes=n_plain,
            network_bytes=None if part is None else n_network,
            notes=survey.notes,
        )
        with building.open("wb") as file:
            (network if outcome.uses_network else plain).copy_to(file)
    return outcome


class _Body:
    """A file whose header is known last. Beside the one to write, under no name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._head = b""

    def __enter__(self) -> "_Body":
        self._blocks: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)
        return self

    def __exit__(self, *error: object) -> None:
        self._blocks.close()

    def add(self, block: Block) -> None:
        """Append a block."""
        self._blocks.write(framed(block))

    def end(self, header: Header, n_rows: int) -> int:
        """Complete it, and return its size in bytes."""
        self._head = MAGIC + framed(header)
        self._blocks.write(framed(End(n_rows)))
        return len(self._head) + self._blocks.tell()

    def copy_to(self, file: IO[bytes]) -> None:
        """Write all of it."""
        file.write(self._head)
        self._blocks.seek(0)
        shutil.copyfileobj(self._blocks, file)


def _header(survey: Survey, max_error: float, decoder: DecoderPart | None) -> Header:
    return Header(
        max_error=max_error,
        columns=survey.columns,
        minimum=[q.minimum for q in survey.quantisers.values()],
        maximum=[q.maximum for q in survey.quantisers.values()],
        units=survey.units,
        decoder=decoder,
    )
