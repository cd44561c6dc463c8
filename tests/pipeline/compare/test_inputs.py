"""What the user writes: moments, and events that are known."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compare.labels import MAX_BYTES, MAX_LINE_CHARS, read_labels
from pipeline.compare.topic import parse_moment
from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.times import END_OF_CALENDAR_S, iso_time

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "time_s"),
    [
        ("24h", NOW_S - 86_400),
        ("90min", NOW_S - 5_400),
        ("1.5d", NOW_S - 129_600),
        ("1700000000", NOW_S),
        ("2023-11-14T22:13:20Z", NOW_S),
        ("2023-11-14T23:13:20+01:00", NOW_S),
        ("9999999d", 0.0),
        ("1969-12-31", 0.0),
        ("9999-12-31T23:59:59Z", END_OF_CALENDAR_S - 1),
        ("2023-11-14", NOW_S - 22 * 3_600 - 13 * 60 - 20),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, time_s: float) -> None:
    assert parse_moment(text, NOW_S) == time_s


@pytest.mark.parametrize(
    "text",
    [
        *("", "h", "yesterday", "-1h", "1y", "nanh", "2023-13-01"),
        *("9" * 23, "9" * 400, "9" * 400 + "d", "253402300800"),
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a time"):
        parse_moment(text, NOW_S)


@given(text=st.from_regex(r"[0-9]{1,400}(\.[0-9]+)?(ms|s|min|h|d|)", fullmatch=True))
def test_any_moment_is_one_that_can_be_written_or_is_refused(text: str) -> None:
    try:
        time_s = parse_moment(text, NOW_S)
    except InputError:
        return
    assert iso_time(time_s) >= "1970"


def test_labels_may_give_times_either_way_and_have_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("end,note,unit,begin\n1700000060,a pump,p-1,2023-11-14T22:13:20Z\n")

    assert read_labels(path) == [Span("p-1", NOW_S, NOW_S + 60)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected columns unit, begin, end"),
        ("unit,begin\np,1\n", r"\['end'\] are missing"),
        ("unit,begin,end\np,1,soon\n", "line 2: expected times"),
        ("unit,begin,end\np,1\n", "line 2: expected times"),
        ("unit,begin,end\np,2,1\n", "line 2: expected a unit, and an end"),
        ("unit,begin,end\n,1,2\n", "line 2: expected a unit"),
        ("unit,begin,end\np,nan,nan\n", "line 2: expected a unit, and an end"),
    ],
)
def test_labels_that_are_none_are_refused_with_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)

    with pytest.raises(InputError, match=said):
        read_labels(path)


def test_a_missing_file_of_labels_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize("path", [Path("/dev/zero"), Path("/dev"), Path("/dev/null")])
def test_labels_are_no_device_or_folder(path: Path) -> None:
    with pytest.raises(InputError, match=f"{path}: (expected a file|cannot be read)"):
        read_labels(path)


def test_nobody_is_waited_for_at_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    os.mkfifo(path)

    with pytest.raises(InputError, match="expected a file"):
        read_labels(path)


def test_a_file_of_labels_is_so_large_at_most(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    with pytest.raises(InputError, match="at most 67,108,864 bytes"):
        read_labels(path)


@pytest.mark.parametrize("begin", ["", "unit,begin,end\n"])
def test_a_line_of_labels_is_so_long_at_most(tmp_path: Path, begin: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(begin + "p" * MAX_LINE_CHARS + ",1,2\n")

    with pytest.raises(InputError, match="expected lines of at most 100,000 characters"):
        read_labels(path)
