"""Reading a history that is too long to be held: some of its rows, in two passes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.errors import InputError
from pipeline.records import BoolArray, IntArray
from pipeline.table_file import NotAllNumbers, TableFile
from trainer.stretches import choose_stretches

IsLong = Callable[[IntArray], BoolArray]
"""Which units can be learned from, by how many rows each has."""


class KeptRows(NamedTuple):
    """Rows of a file, in its order, and what is known of those left out."""

    rows: pa.Table
    row_N: IntArray
    """Where in the file they stand, counted from 0."""
    stretch_N: IntArray
    """The stretch that each is part of."""
    n_stretches: int
    n_rows: int
    """Of the whole file."""
    n_units: int
    """Of the whole file."""
    n_of_short_units: int
    """Rows of units too short to learn from; none of them is among those kept."""


def read_kept(
    file: TableFile, n_kept: int, min_length: int, seed: int, is_long: IsLong
) -> KeptRows | None:
    """Read `n_kept` rows of a file as stretches of its units, never more at a time.

    Units too short to learn from take no room from the others. Where all are, stretches
    are taken of them: whoever cuts these says what is missing.

    Args:
        file: with a column `time`; in which a unit's rows come about in the order of time.
        n_kept: rows to keep.
        min_length: of a stretch, in readings of one unit.
        seed: of all randomness.
        is_long: which units can be learned from.

    Returns:
        None if the file has no more rows than that.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return _read_kept(file, n_kept, min_length, seed, is_long, as_text=False)
    except NotAllNumbers:
        return _read_kept(file, n_kept, min_length, seed, is_long, as_text=True)


def _read_kept(
    file: TableFile,
    n_kept: int,
    min_length: int,
    seed: int,
    is_long: IsLong,
    as_text: bool,
) -> KeptRows | None:
    units = _Units()
    columns = ["unit"] if "unit" in file.names else ["time"]
    for piece in file.pieces(columns, as_text=True):
        units.ranked(piece)
    n_U = units.begin_again()
    n_rows = int(n_U.sum())
    if n_rows <= n_kept:
        return None
    long_U = np.where(is_long(n_U), n_U, 0)
    chosen_U = long_U if long_U.any() else n_U
    stretches = choose_stretches(chosen_U, n_kept, min_length, seed)
    kept, rows, numbers = [], [], []
    begin = 0
    for piece in file.pieces(file.names, as_text):
        stretch_N = stretches.of(*units.ranked(piece))
        row_K = np.flatnonzero(stretch_N >= 0)
        if len(row_K):
            # A copy: a slice would keep all of the piece.
            kept.append(piece.take(row_K))
            rows.append(begin + row_K)
            numbers.append(stretch_N[row_K])
        begin += len(piece)
    if begin != n_rows:
        raise InputError(f"{file.path}: it changed while it was read")
    return KeptRows(
        rows=pa.concat_tables(kept).unify_dictionaries(),
        row_N=np.concatenate(rows),
        stretch_N=np.concatenate(numbers),
        n_stretches=len(stretches),
        n_rows=n_rows,
        n_units=int((n_U > 0).sum()),
        n_of_short_units=n_rows - int(chosen_U.sum()),
    )


class _Units:
    """The units of a file as it is gone through, and how many rows of each have come."""

    def __init__(self) -> None:
        self._code_of: dict[str | None, int] = {}
        self._n_U = np.zeros(0, dtype=np.int64)

    def ranked(self, piece: pa.Table) -> tuple[IntArray, IntArray]:
        """Each row's unit, and how many rows of that unit come before it.

        Units are numbered as they come first.
        """
        code_N = self._codes(piece)
        n_before_U = np.zeros(len(self._code_of), dtype=np.int64)
        n_before_U[: len(self._n_U)] = self._n_U
        n_new_U = np.bincount(code_N, minlength=len(n_before_U))
        by_unit_N = np.argsort(code_N, kind="stable")
        # Where the unit's rows begin among those of the piece, once sorted.
        first_U = np.cumsum(n_new_U) - n_new_U
        rank_N = np.empty_like(code_N)
        rank_N[by_unit_N] = np.arange(len(code_N)) - np.repeat(first_U, n_new_U)
        self._n_U = n_before_U + n_new_U
        return code_N, rank_N + n_before_U[code_N]

    def begin_again(self) -> IntArray:
        """Go back to the first row; how many rows each unit has had."""
        n_U, self._n_U = self._n_U, np.zeros_like(self._n_U)
        return n_U

    def _codes(self, piece: pa.Table) -> IntArray:
        if "unit" not in piece.column_names:
            self._code_of.setdefault(None, 0)
            return np.zeros(len(piece), dtype=np.int64)
        column = piece.column("unit").combine_chunks()
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        # What has no name is refused once it is looked at.
        names = [*column.dictionary.to_pylist(), None]
        code_D = [self._code_of.setdefault(name, len(self._code_of)) for name in names]
        index_N = column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(np.array(code_D, dtype=np.int64)[index_N])
