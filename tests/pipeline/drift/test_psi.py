"""The population stability index: 0 of what has not moved, and never below."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift.psi import psi, psi_of_counts

N_BINS = 10
EQUAL_K = np.full(N_BINS, 1 / N_BINS)


def shares(weights: list[float]) -> np.ndarray:
    return np.array(weights) / sum(weights)


many_weights = st.lists(
    st.just(0.0) | st.floats(0.001, 1000.0), min_size=N_BINS, max_size=N_BINS
).filter(any)


@given(expected=many_weights, found=many_weights)
def test_it_is_never_negative(expected: list[float], found: list[float]) -> None:
    assert psi(shares(expected)[None], shares(found)[None]) >= 0


@given(weights=many_weights)
def test_it_is_0_of_equal_shares(weights: list[float]) -> None:
    assert psi(shares(weights), shares(weights)) == 0


def test_it_is_as_its_source_defines_it() -> None:
    expected = np.array([0.5, 0.5])
    found = np.array([0.8, 0.2])

    by_hand = 0.3 * np.log(1.6) + -0.3 * np.log(0.4)
    assert psi(expected, found) == pytest.approx(by_hand)


@pytest.mark.parametrize("n_values", [100, 1_000])
def test_what_chance_alone_makes_of_few_values_is_taken_off(n_values: int) -> None:
    random = np.random.default_rng(0)
    counts_RK = random.multinomial(n_values, EQUAL_K, size=2_000)
    expected_RK = np.broadcast_to(EQUAL_K, counts_RK.shape)

    uncorrected_R = psi(expected_RK, counts_RK / n_values)

    assert uncorrected_R.mean() == pytest.approx(9 / n_values, rel=0.1)
    assert psi_of_counts(expected_RK, counts_RK).mean() < 0.4 * uncorrected_R.mean()


def test_bins_that_were_always_empty_add_nothing() -> None:
    expected_FK = np.array([[0.3, 0.0, 0.7]])

    assert psi_of_counts(expected_FK, np.array([[30, 0, 70]])) == 0


def test_nothing_is_said_of_nothing() -> None:
    assert np.isnan(psi_of_counts(EQUAL_K[None], np.zeros((1, N_BINS), dtype=np.int64)))
