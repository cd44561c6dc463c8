"""Times in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.times import END_OF_CALENDAR_S, iso_time, parse_iso_s


@pytest.mark.parametrize(
    ("time_s", "iso"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1_700_000_000.0, "2023-11-14T22:13:20Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
        (END_OF_CALENDAR_S - 1, "9999-12-31T23:59:59Z"),
    ],
)
def test_time_is_written_in_utc_with_a_fraction_only_where_there_is_one(
    time_s: float, iso: str
) -> None:
    assert iso_time(time_s) == iso
    assert parse_iso_s(iso) == time_s


# A double holds microseconds until the year 2242.
@given(time_us=st.integers(0, 2**53))
def test_a_time_that_is_written_reads_back_the_same(time_us: int) -> None:
    time_s = round(time_us / 1e6, 6)

    assert parse_iso_s(iso_time(time_s)) == time_s


@given(text=st.text())
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        time_s = parse_iso_s(text)
    except ValueError:
        return
    assert abs(time_s) < 2 * END_OF_CALENDAR_S
