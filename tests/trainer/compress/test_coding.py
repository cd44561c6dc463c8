"""Whole numbers as bytes, and back."""

import bz2
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.compress.coding import LZMA_FILTERS, Series, coded, decoded, drafted, encoded

whole_numbers = st.lists(st.integers(-(2**60), 2**60) | st.integers(-3, 3), max_size=50)


@given(whole_numbers, st.sets(st.integers(0, 2), min_size=1))
def test_numbers_come_back(numbers: list[int], orders: set[int]) -> None:
    number_N = np.array(numbers, dtype=np.int64)

    series = encoded(number_N, tuple(orders))

    np.testing.assert_array_equal(decoded(series, len(numbers)), number_N)


def test_times_in_step_take_no_bytes() -> None:
    series = encoded(1_700_000_000_000_000 + 60_000_000 * np.arange(10_000), (1, 2))

    assert len(series.content) < 40


def test_differences_are_taken_where_they_are_smaller() -> None:
    climbing, noise = np.arange(1_000), np.random.default_rng(0).integers(0, 9, 1_000)

    assert encoded(climbing, (0, 1)).starts == [0]
    assert encoded(noise, (0, 1)).starts == []


def test_the_coder_that_makes_fewest_bytes_is_taken() -> None:
    draft = drafted(np.random.default_rng(0).integers(0, 4, 5_000), (0,))
    series = coded(draft)

    assert len(series.content) < 0.5 * 5_000
    assert len(series.content) <= draft.n_bytes


@pytest.mark.parametrize("coder", ["raw", "zstd", "zstd-whole", "lzma", "bz2"])
@pytest.mark.parametrize("content", [b"", b"\0", b"not compressed at all" * 9])
def test_content_of_another_kind_is_refused(coder: str, content: bytes) -> None:
    series = Series([], 4, coder, content)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=r"\w"):
        decoded(series, 1_000)


BOMB = b"\1" * 10_000_000


@pytest.mark.parametrize(
    ("coder", "content"),
    [
        ("bz2", bz2.compress(BOMB)),
        ("lzma", lzma.compress(BOMB, lzma.FORMAT_RAW, filters=LZMA_FILTERS)),
    ],
)
def test_no_more_is_made_of_content_than_it_is_to_hold(coder: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="where 100 are expected"):
        decoded(Series([], 1, coder, content), 100)  # type: ignore[arg-type]
