"""Tables that commands write."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import InputError
from pipeline.table import read_table
from trainer import table_out

SCHEMA = pa.schema([("time", table_out.TIME), ("unit", pa.string()), ("x", pa.float32())])


def written(path: Path) -> Path:
    with table_out.table_out(path, "the table", SCHEMA) as out:
        for begin in (0, 2):
            out.write(
                {
                    "time": table_out.times(np.array([1e9 + begin, 1e9 + begin + 0.25])),
                    "unit": table_out.names(["a", "b"], np.array([0, 1])),
                    "x": np.array([1.5, np.nan]),
                }
            )
    return path


@pytest.mark.parametrize("suffix", table_out.SUFFIXES)
def test_a_table_is_read_back_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    table = read_table(written(tmp_path / f"table{suffix}"))

    assert table.units == ("a", "b")
    assert table.time_s_N.tolist() == [1e9, 1e9 + 0.25, 1e9 + 2, 1e9 + 2.25]
    np.testing.assert_array_equal(table.values_NF[:, 0], [1.5, np.nan, 1.5, np.nan])


def write_half(path: Path) -> None:
    """Rows, then such as lack a column."""
    row = {name: pa.nulls(1, SCHEMA.field(name).type) for name in SCHEMA.names}
    with table_out.table_out(path, "the table", SCHEMA) as out:
        out.write(row)
        out.write({"x": row["x"]})


@pytest.mark.parametrize("suffix", table_out.SUFFIXES)
def test_a_failure_leaves_what_was_there_and_nothing_else(
    suffix: str, tmp_path: Path
) -> None:
    path = written(tmp_path / f"table{suffix}")
    before = path.read_bytes()

    with pytest.raises(KeyError):
        write_half(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"--out x.txt: expected a name that ends in .pa"):
        table_out.check_suffix(Path("x.txt"))
