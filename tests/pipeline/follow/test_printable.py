"""Text of others on somebody's terminal."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipeline.follow.printable import number, printable, sparkline
from tests.pipeline.test_plain_text import SHOWN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        *SHOWN,
        ("x" * 40, "x" * 19 + "…"),
        ("ポ" * 10, "ポ" * 10),
        ("ポ" * 11, "ポ" * 9 + "…"),
    ],
)
def test_what_a_terminal_would_obey_is_replaced(text: str, shown: str) -> None:
    assert printable(text, 20) == shown


@given(st.text())
def test_nothing_that_is_shown_controls_anything(text: str) -> None:
    shown = printable(text, 20)

    assert max(len(shown), cell_len(shown)) <= 20
    assert all(unicodedata.category(c)[0] != "C" for c in shown)


@given(st.floats(-1e308, 1e308))
def test_numbers_are_short_whatever_their_size(value: float) -> None:
    assert len(number(value)) <= 9
    assert math.isclose(float(number(value)), value, rel_tol=0.1, abs_tol=0.01)


def test_a_sparkline_goes_from_zero_to_the_largest() -> None:
    assert sparkline([0.0, 1.0, 2.0]) == "▁▅█"


@given(st.lists(st.floats(-1e300, 1e300), max_size=16))
def test_every_score_has_a_bar(values: list[float]) -> None:
    assert len(sparkline(values)) == len(values)
