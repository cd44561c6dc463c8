"""Files of rows, whole and piece by piece."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from pipeline import table_file
from pipeline.errors import InputError
from pipeline.table_file import NotAllNumbers, TableFile, open_table

N_ROWS = 1_000
TABLE = pa.table(
    {
        "time": [float(n) for n in range(N_ROWS)],
        "unit": [f"pump-{n % 3}" for n in range(N_ROWS)],
        "p": [n / 4 for n in range(N_ROWS)],
    }
)


def as_parquet(folder: Path) -> Path:
    path = folder / "history.parquet"
    pyarrow.parquet.write_table(TABLE, path, row_group_size=300)
    return path


def as_csv(folder: Path) -> Path:
    path = folder / "history.csv"
    pyarrow.csv.write_csv(TABLE, path)
    return path


def as_gzip(folder: Path) -> Path:
    path = folder / "history.csv.gz"
    path.write_bytes(gzip.compress(as_csv(folder).read_bytes()))
    return path


each_kind = pytest.mark.parametrize("write", [as_parquet, as_csv, as_gzip])
Write = Callable[[Path], Path]


def joined(file: TableFile, names: list[str], as_text: bool = False) -> dict[str, object]:
    pieces = list(file.pieces(names, as_text))
    return {name: [v for p in pieces for v in p.column(name).to_pylist()] for name in names}


@each_kind
def test_pieces_are_the_rows_in_order(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "PIECE_ROWS", 100)
    file = open_table(write(tmp_path))

    assert file.names == ["time", "unit", "p"]
    assert joined(file, ["unit", "p"]) == TABLE.select(["unit", "p"]).to_pydict()
    # A second time too.
    assert joined(file, ["p"]) == TABLE.select(["p"]).to_pydict()


def test_pieces_of_parquet_are_small_however_long_its_row_groups_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "PIECE_ROWS", 100)

    pieces = open_table(as_parquet(tmp_path)).pieces(["p"], as_text=False)

    assert max(len(piece) for piece in pieces) == 100


def test_pieces_of_csv_are_numbers_unless_some_value_is_none(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("time,p,state\n1,1.5,on\n2,2.5,off\n")
    file = open_table(path)

    with pytest.raises(NotAllNumbers):
        joined(file, file.names)

    assert joined(file, ["p"]) == {"p": [1.5, 2.5]}
    as_text = joined(file, file.names, as_text=True)
    assert as_text == {"time": ["1", "2"], "p": ["1.5", "2.5"], "state": ["on", "off"]}


@each_kind
def test_a_file_that_may_hold_more_rows_is_never_taken_for_a_short_one(
    write: Write, tmp_path: Path
) -> None:
    file = open_table(write(tmp_path))

    assert file.may_hold_more(N_ROWS - 1)


@pytest.mark.parametrize("write", [as_parquet, as_csv])
def test_a_short_file_is_known_for_one(write: Write, tmp_path: Path) -> None:
    assert not open_table(write(tmp_path)).may_hold_more(10 * N_ROWS)


def test_a_row_that_is_broken_is_refused_in_pieces_too(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("time,p\n1,1\n2,2,2\n")

    with pytest.raises(InputError, match=r"history.csv: expected CSV or Parquet"):
        joined(open_table(path), ["p"], as_text=True)
