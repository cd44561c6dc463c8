"""A sensor's values within the bound, whatever they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray
from trainer.compress.columns import (
    Quantiser,
    coded_column,
    coded_missing,
    decoded_column,
    drafted_column,
)

numbers = st.floats(width=32, allow_infinity=False, allow_nan=True)
errors = st.floats(1e-6, 0.5)


def quantiser(value_N: FloatArray, max_error: float) -> Quantiser:
    there = value_N[~np.isnan(value_N)]
    low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 0.0)
    return Quantiser(low, high, max_error)


def assert_within(value_N: FloatArray, back_N: FloatArray, bound: float) -> None:
    np.testing.assert_array_equal(np.isnan(back_N), np.isnan(value_N))
    error_N = np.abs(value_N.astype(np.float64) - back_N)
    assert not (error_N > bound).any()


@given(st.lists(numbers, min_size=1, max_size=40), errors)
def test_values_come_back_within_the_bound(values: list[float], max_error: float) -> None:
    value_N = np.array(values, dtype=np.float32)
    quantised = quantiser(value_N, max_error)

    column = coded_column(drafted_column(value_N, quantised), coded_missing(value_N))
    back_N = decoded_column(column, quantised, len(value_N), None)

    assert_within(value_N, back_N, quantised.bound)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=40), errors)
def test_so_they_do_from_any_reconstruction(
    pairs: list[tuple[float, float]], max_error: float
) -> None:
    value_N = np.array([value for value, _ in pairs], dtype=np.float32)
    expected_N = np.array([expected for _, expected in pairs], dtype=np.float64)
    quantised = quantiser(value_N, max_error)

    draft = drafted_column(value_N, quantised, expected_N)
    column = coded_column(draft, coded_missing(value_N))
    back_N = decoded_column(column, quantised, len(value_N), expected_N)

    assert_within(value_N, back_N, quantised.bound)
    np.testing.assert_array_equal(back_N, draft.decoded_N)


def test_a_reconstruction_that_differs_elsewhere_stays_within_the_bound() -> None:
    random = np.random.default_rng(0)
    value_N = random.normal(size=5_000).astype(np.float32)
    expected_N = value_N + random.normal(size=5_000)
    quantised = quantiser(value_N, 0.005)
    column = coded_column(drafted_column(value_N, quantised, expected_N), None)

    elsewhere_N = expected_N + 1e-6 * random.normal(size=5_000)
    back_N = decoded_column(column, quantised, len(value_N), elsewhere_N)

    assert_within(value_N, back_N, quantised.bound)


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 0.1))
def test_values_that_came_in_64_bits_come_back_within_the_bound_of_these(
    level: float, max_error: float
) -> None:
    whole_N = level + np.random.default_rng(0).random(500)
    value_N = whole_N.astype(np.float32)
    quantised = quantiser(value_N, max_error)

    column = coded_column(drafted_column(value_N, quantised), None)
    back_N = decoded_column(column, quantised, 500, None)

    # Where 32 bits are coarser than the bound, they come back as they are.
    if not np.array_equal(back_N, value_N):
        assert np.abs(back_N - whole_N).max() <= max_error * np.ptp(whole_N)


def test_a_constant_takes_no_bytes_and_comes_back_exactly() -> None:
    value_N = np.full(1_000, 0.1, dtype=np.float32)
    quantised = quantiser(value_N, 0.005)

    column = coded_column(drafted_column(value_N, quantised), None)

    assert column.numbers.content == b""
    back_N = decoded_column(column, quantised, 1_000, None)
    np.testing.assert_array_equal(back_N, value_N)


def test_a_sensor_at_a_level_too_high_for_steps_is_kept_exactly() -> None:
    value_N = np.array([1e8, 1e8 + 8, 1e8 + 16, 1e8 + 24], dtype=np.float32)
    quantised = quantiser(value_N, 0.3)

    column = coded_column(drafted_column(value_N, quantised), None)

    assert column.by == "exact"
    np.testing.assert_array_equal(decoded_column(column, quantised, 4, None), value_N)


def test_residuals_without_a_reconstruction_are_refused() -> None:
    value_N = np.arange(8, dtype=np.float32)
    quantised = quantiser(value_N, 0.1)
    column = coded_column(drafted_column(value_N, quantised, np.zeros(8)), None)

    with pytest.raises(ValueError, match="without a reconstruction"):
        decoded_column(column, quantised, 8, None)
