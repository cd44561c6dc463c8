"""Tables that commands write: CSV or Parquet, piece by piece, whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipeline.errors import InputError
from pipeline.files import replaced_whole
from pipeline.records import TimeArray

TIME = pa.timestamp("us", tz="UTC")
"""What a column `time` is written as."""
SUFFIXES = (".parquet", ".csv")


class TableOut:
    """A table that is being written. Columns have the order of the schema."""

    def __init__(
        self, writer: pa.csv.CSVWriter | pa.parquet.ParquetWriter, schema: pa.Schema
    ) -> None:
        self._writer = writer
        self._schema = schema
        self.n_rows = 0

    def write(self, columns: Mapping[str, pa.Array | npt.NDArray[Any]]) -> None:
        """Append rows.

        Args:
            columns: each of the schema's, all of one length. NaN is written as missing.
        """
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        rows = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(rows)
        self.n_rows += len(rows)


def check_suffix(
    out: Path, option: str = "--out", suffixes: Sequence[str] = SUFFIXES
) -> None:
    """Raise InputError if `out` is not called as one of the kinds that are written."""
    if out.suffix not in suffixes:
        raise InputError(
            f"{option} {out}: expected a name that ends in {' or '.join(suffixes)}"
        )


@contextmanager
def table_out(path: Path, what: str, schema: pa.Schema) -> Iterator[TableOut]:
    """A table to write, which becomes `path` once the block has ended well.

    Args:
        path: ends in one of `SUFFIXES`; its folder must exist.
        what: what it is, for messages: `the latent vectors`.
        schema: its columns.

    Raises:
        InputError: it cannot be written.
    """
    with replaced_whole(path, what) as building:
        if path.suffix == ".csv":
            writer = pa.csv.CSVWriter(building, schema)
        else:
            writer = pa.parquet.ParquetWriter(building, schema, compression="zstd")
        with writer:
            yield TableOut(writer, schema)


def times(time_s_N: TimeArray) -> pa.Array:
    """Seconds since 1970 as a column `time`."""
    return pa.array(np.round(time_s_N * 1e6).astype(np.int64)).cast(TIME)


def names(units: Sequence[str], unit_N: npt.NDArray[np.int64]) -> pa.Array:
    """A column `unit`, from indices into `units`."""
    return pa.DictionaryArray.from_arrays(unit_N, pa.array(units, pa.string())).cast(
        pa.string()
    )


def _array(column: pa.Array | npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return pa.array(np.ascontiguousarray(column), type=kind, from_pandas=True)
