"""What the user writes: moments, and events that are known."""

from pathlib import Path

import pytest

from pipeline.compare.labels import read_labels
from pipeline.compare.topic import parse_moment
from pipeline.errors import InputError
from pipeline.events import Span

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
        ("2023-11-14", NOW_S - 22 * 3_600 - 13 * 60 - 20),
    ],
)
def test_a_moment_is_a_time_or_so_long_ago(text: str, time_s: float) -> None:
    assert parse_moment(text, NOW_S) == time_s


@pytest.mark.parametrize("text", ["", "h", "yesterday", "-1h", "1y", "nanh", "2023-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected a time"):
        parse_moment(text, NOW_S)


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
