"""Sensor tables in CSV and Parquet."""

import gzip
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.errors import InputError
from pipeline.table import ONLY_UNIT, Table, read_table

ROWS = "time,unit,pressure,flow\n60,a,1.5,10\n120,b,,20\n180,a,2.5,30\n"


def assert_is_rows(table: Table) -> None:
    assert table.sensors == ("pressure", "flow")
    assert [table.units[u] for u in table.unit_N] == ["a", "b", "a"]
    assert table.time_s_N.tolist() == [60.0, 120.0, 180.0]
    np.testing.assert_array_equal(table.values_NF, [[1.5, 10], [math.nan, 20], [2.5, 30]])
    assert table.values_NF.dtype == np.float32
    assert table.label_N is None
    assert table.notes == []


def test_a_csv_file(csv: Callable[[str], Table]) -> None:
    assert_is_rows(csv(ROWS))


def test_a_gzipped_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "history.csv.gz"
    path.write_bytes(gzip.compress(ROWS.encode()))

    assert_is_rows(read_table(path))


def test_a_parquet_file_whatever_its_name(tmp_path: Path) -> None:
    columns = {
        "time": [60, 120, 180],
        "unit": ["a", "b", "a"],
        "pressure": [1.5, None, 2.5],
        "flow": [10, 20, 30],
    }
    path = tmp_path / "history"
    pa.parquet.write_table(pa.table(columns), path)

    assert_is_rows(read_table(path))


@pytest.mark.parametrize(
    "time",
    [
        "1700000000.25",
        "2023-11-14T22:13:20.25Z",
        "2023-11-14 22:13:20.25",
        "2023-11-15T03:43:20.250+05:30",
    ],
)
def test_time_is_iso_8601_or_seconds(time: str, csv: Callable[[str], Table]) -> None:
    assert csv(f"time,p\n{time},1\n").time_s_N.tolist() == [1_700_000_000.25]


@pytest.mark.parametrize(
    "time",
    [
        pa.array([datetime(2023, 11, 14, 22, 13, 20)], pa.timestamp("s")),
        pa.array([datetime(2023, 11, 14, 22, 13, 20)], pa.timestamp("ms")),
        pa.array(
            [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)], pa.timestamp("ns", "UTC")
        ),
        pa.array([1_700_000_000], pa.int32()),
        pa.array([1_700_000_000.0], pa.float64()),
        pa.array(["2023-11-14T22:13:20Z"], pa.large_string()),
    ],
)
def test_parquet_times_of_every_type(
    time: pa.Array, parquet: Callable[[dict[str, object]], Table]
) -> None:
    assert parquet({"time": time, "p": [1.0]}).time_s_N.tolist() == [1_700_000_000.0]


def test_parquet_days_are_their_first_second(
    parquet: Callable[[dict[str, object]], Table],
) -> None:
    table = parquet({"time": [date(1970, 1, 2)], "p": [1.0]})

    assert table.time_s_N.tolist() == [86_400.0]


def test_time_is_rounded_to_a_microsecond_as_a_readings_is(
    csv: Callable[[str], Table],
) -> None:
    assert csv("time,p\n1700000000.1234567,1\n").time_s_N.tolist() == [1_700_000_000.123457]


def test_a_table_without_units_is_of_one(csv: Callable[[str], Table]) -> None:
    table = csv("time,p\n1,1\n2,2\n")

    assert table.units == (ONLY_UNIT,)
    assert table.unit_N.tolist() == [0, 0]


@pytest.mark.parametrize("unit", ["7", "NA", "nan", "null", "true", 256 * "é"])
def test_a_unit_may_have_any_name(unit: str, csv: Callable[[str], Table]) -> None:
    assert csv(f"time,unit,p\n1,{unit},1\n").units == (unit,)


def test_fractions_far_below_whole_numbers_are_read(csv: Callable[[str], Table]) -> None:
    n_rows = 150_000  # 1.6 MB: types are not guessed from the first megabyte
    rows = [f"{i},{i % 7}" for i in range(n_rows)]

    table = csv("\n".join(["time,p", *rows, f"{n_rows},0.5", f"{n_rows}.5,1e-3"]))

    assert table.values_NF[-2:, 0].tolist() == [0.5, np.float32(1e-3)]
    assert table.time_s_N[-1] == n_rows + 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,p\n1,1\nyesterday,2\n", "row 2: time: expected ISO 8601 .* got 'yesterday'"),
        ("time,p\n1,1\n1700000000123,2\n", r"row 2: time: .* got 1.7e\+12"),
        ("time,p\n1,1\n-5,2\n", "row 2: time: .* got -5"),
        ("time,p\n1,1\ninf,2\n", "row 2: time: .* got inf"),
        ("time,p\n1,1\n,2\n", "row 2: time: expected ISO 8601 .* got ''"),
        ("time,unit,p\n1,a,1\n2,,2\n", "row 2: expected a unit, got nothing; name every"),
        (
            f"time,unit,p\n1,a,1\n2,{257 * 'é'},2\n",
            "row 2: expected a unit of at most 256 characters, got 257; give it a shorter",
        ),
        ("time,p,label\n1,1,0\n2,2,7\n", "row 2: label: expected 0 or 1, got 7"),
        ("time,p,label\n1,1,0\n2,2,\n", "row 2: label: expected 0 or 1, got nan"),
        ("time,p,label\n1,1,0\n2,2,bad\n", "column 'label'"),
        ("when,p\n1,1\n", "expected a column 'time'"),
        ("time,p\n", "expected rows"),
        ("time,unit\n1,a\n", "at least one column of numbers"),
        ("time,state\n1,on\n", "at least one column of numbers"),
        ("time,p,p\n1,1,2\n", r"the columns \['p'\] occur more than once"),
        ("time,p\n1,1,1\n", "expected CSV or Parquet"),
        ("", "expected CSV or Parquet"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    text: str, message: str, csv: Callable[[str], Table]
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        csv(text)
    assert "history.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"PAR1 not quite", b"\xff\xfe\x00", b"a\x00b"])
def test_bytes_that_are_no_table_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"history.parquet"):
        read_table(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.csv: cannot be read"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path)


@pytest.mark.parametrize("labels", [[0, 1, 0], [False, True, False], ["0", "1", "0"]])
def test_labels_are_0_or_1(
    labels: list[object], parquet: Callable[[dict[str, object]], Table]
) -> None:
    table = parquet({"time": [1, 2, 3], "p": [1.0, 2.0, 3.0], "label": labels})

    assert table.label_N is not None
    assert table.label_N.tolist() == [False, True, False]
    assert table.sensors == ("p",)
