"""Text of others on somebody's terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plain_text import plain, plain_lines

SHOWN = [
    ("pump-7", "pump-7"),
    ("ポンプ七号機 ü", "ポンプ七号機 ü"),
    ("\x1b[2Jgone", "�[2Jgone"),
    ("\x9b31mred", "�31mred"),
    ("a\nb\tc\x07", "a�b�c�"),
    ("\u202egnp", "�gnp"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_what_a_terminal_would_obey_is_replaced(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_that_is_shown_controls_anything(text: str) -> None:
    shown = plain(text)

    assert len(shown) == len(text)
    assert all(unicodedata.category(c)[0] != "C" for c in shown)


def test_lines_that_are_meant_stay_lines() -> None:
    assert plain_lines("one\n\x1b[31mtwo\r") == "one\n�[31mtwo�"
