"""A table's file, CSV or Parquet: read whole, or piece by piece in bounded memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipeline.errors import InputError

PIECE_ROWS = 2**16
"""Of Parquet, at a time."""
PARQUET_BUFFER_BYTES = 2**20
"""Read ahead of each column. Without a bound a row group is read whole, however long."""
MIN_ROW_BYTES = 2
"""Of CSV: a digit and what ends the row."""
TEXT_COLUMNS = ("time", "unit")
"""Of CSV: never read as numbers."""


class NotAllNumbers(Exception):
    """Some column of CSV is not all numbers: read as text, it is looked at by itself."""


class TableFile(ABC):
    """A file of rows, and what its columns are called."""

    is_typed: bool
    """Whether the file says what its columns are."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path = path
        self.names = list(names)

    @abstractmethod
    def read(self) -> pa.Table:
        """All rows.

        Raises:
            InputError: the file cannot be read.
        """

    @abstractmethod
    def pieces(self, names: Sequence[str], as_text: bool) -> Iterator[pa.Table]:
        """All rows in order, some at a time.

        Args:
            names: the columns to read.
            as_text: where the file does not say what a column is, take it as text.

        Raises:
            InputError: the file cannot be read.
            NotAllNumbers: not `as_text`, and it would have been needed.
        """

    @abstractmethod
    def may_hold_more(self, n_rows: int) -> bool:
        """Whether it may have more rows than this, as far as can be told at once."""


def open_table(path: Path) -> TableFile:
    """Look at a CSV (also gzipped) or Parquet file, told apart by name and content.

    Raises:
        InputError: it cannot be read.
    """
    with _translated_errors(path):
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        return _Parquet(path) if is_parquet else _Csv(path)


class _Parquet(TableFile):
    is_typed = True

    def __init__(self, path: Path) -> None:
        metadata = pyarrow.parquet.read_metadata(path)
        super().__init__(path, metadata.schema.to_arrow_schema().names)
        self._n_rows = metadata.num_rows

    def read(self) -> pa.Table:
        with _translated_errors(self.path):
            return pyarrow.parquet.read_table(self.path)

    def pieces(self, names: Sequence[str], as_text: bool) -> Iterator[pa.Table]:
        with (
            _translated_errors(self.path),
            pyarrow.parquet.ParquetFile(
                self.path,
                buffer_size=PARQUET_BUFFER_BYTES,
                pre_buffer=False,
                read_dictionary=[name for name in ("unit",) if name in self.names],
            ) as file,
        ):
            for batch in file.iter_batches(PIECE_ROWS, columns=list(names)):
                yield pa.Table.from_batches([batch])

    def may_hold_more(self, n_rows: int) -> bool:
        return bool(self._n_rows > n_rows)


class _Csv(TableFile):
    is_typed = False

    def __init__(self, path: Path) -> None:
        # Types are never guessed: a guess is made from a file's first megabyte alone.
        with pyarrow.csv.open_csv(path) as reader:
            super().__init__(path, reader.schema.names)

    def read(self) -> pa.Table:
        with _translated_errors(self.path):
            try:
                options = self._options(self.names, as_text=False)
                return pyarrow.csv.read_csv(self.path, convert_options=options)
            except pa.ArrowInvalid:
                options = self._options(self.names, as_text=True)
                return pyarrow.csv.read_csv(self.path, convert_options=options)

    def pieces(self, names: Sequence[str], as_text: bool) -> Iterator[pa.Table]:
        options = self._options(names, as_text)
        with _translated_errors(self.path):
            try:
                with pyarrow.csv.open_csv(self.path, convert_options=options) as reader:
                    for batch in reader:
                        yield pa.Table.from_batches([batch])
            except pa.ArrowInvalid as error:
                if as_text:
                    raise
                raise NotAllNumbers from error

    def may_hold_more(self, n_rows: int) -> bool:
        is_plain = self.path.suffix not in (".gz", ".bz2", ".zst", ".lz4")
        n_bytes = self.path.stat().st_size
        return not is_plain or n_bytes > n_rows * max(MIN_ROW_BYTES, len(self.names))

    def _options(self, names: Sequence[str], as_text: bool) -> pyarrow.csv.ConvertOptions:
        text, number = pa.string(), pa.float64()
        types = {n: text if as_text or n in TEXT_COLUMNS else number for n in self.names}
        return pyarrow.csv.ConvertOptions(column_types=types, include_columns=list(names))


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        first_line = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: expected CSV or Parquet with a header: {first_line}"
        ) from error
