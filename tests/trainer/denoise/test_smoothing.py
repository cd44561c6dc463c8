"""As much of the residuals as is signal."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray
from trainer.denoise.smoothing import (
    N_PARTS,
    SPANS,
    Around,
    Smoothing,
    fit_smoothing,
    parts,
)

N = 4_000
AT_N = np.arange(N)
NOISE = 1.0


def around(residual_NF: FloatArray) -> Around:
    n = len(residual_NF)
    return Around(residual_NF, np.arange(n), np.zeros(n, np.int64), np.full(n, n - 1))


def fitted(residual_NF: FloatArray, noise: float = NOISE) -> Smoothing:
    """Of networks that always say the same, so that residuals follow readings fully."""
    random = np.random.default_rng(7)
    nudge_NF = np.where(random.random(residual_NF.shape) < 0.5, 0.1, -0.1)
    nudge_NF = nudge_NF.astype(np.float32)
    noise_F = np.full(residual_NF.shape[1], noise, dtype=np.float32)
    nudged = around(residual_NF + nudge_NF)
    return fit_smoothing(around(residual_NF), nudged, nudge_NF, noise_F)


def residuals(signal_N: FloatArray, noise: float = NOISE) -> FloatArray:
    noise_N = np.random.default_rng(0).normal(size=len(signal_N))
    return (signal_N + noise * noise_N).astype(np.float32)[:, None]


def error(smoothing: Smoothing, residual_NF: FloatArray, signal_N: FloatArray) -> float:
    added_NF = smoothing.added(around(residual_NF))
    return float(np.sqrt(np.square(added_NF[:, 0] - signal_N).mean()))


def test_of_residuals_that_are_all_noise_next_to_nothing_is_added() -> None:
    silent_N = np.zeros(N, np.float32)

    smoothing = fitted(residuals(silent_N))

    assert error(smoothing, residuals(silent_N), silent_N) < 0.15


def test_without_noise_they_are_added_whole() -> None:
    residual_NF = residuals(np.zeros(N, np.float32))

    smoothing = fitted(residual_NF, noise=0.0)

    np.testing.assert_allclose(
        smoothing.added(around(residual_NF)), residual_NF, rtol=0.01, atol=0.01
    )


def test_what_moves_slowly_is_kept_and_the_noise_on_it_is_not() -> None:
    slow_N = (3.0 * np.sin(AT_N / 20)).astype(np.float32)

    assert error(fitted(residuals(slow_N)), residuals(slow_N), slow_N) < 0.45


def test_a_burst_is_kept_among_noise() -> None:
    burst_N = np.where(AT_N % 100 < 3, np.float32(8.0), np.float32(0.0))
    residual_NF = residuals(burst_N)

    smoothing = fitted(residual_NF)

    assert error(smoothing, residual_NF, burst_N) < 0.7
    kept_N = smoothing.added(around(residual_NF))[burst_N > 0, 0]
    assert kept_N.mean() > 6.0


def test_a_missing_value_is_told_by_those_around_it() -> None:
    slow_N = (3.0 * np.sin(AT_N / 20)).astype(np.float32)
    smoothing = fitted(residuals(slow_N))
    gappy_NF = residuals(slow_N)
    gappy_NF[1_000] = np.nan

    added_NF = smoothing.added(around(gappy_NF))

    assert not np.isnan(added_NF).any()
    assert abs(added_NF[1_000, 0] - slow_N[1_000]) < 1.5


@given(st.integers(0, 8), st.integers(0, 8))
def test_rows_of_other_units_are_not_looked_at(n_before: int, n_after: int) -> None:
    residual_MF = np.full((17, 1), 100.0, dtype=np.float32)
    residual_MF[8 - n_before : 8 + n_after + 1] = 1.0
    alone = Around(
        residual_MF, np.array([8]), np.array([8 - n_before]), np.array([8 + n_after])
    )

    parts_PEF = parts(alone, np.zeros(1, np.float32))

    np.testing.assert_allclose(parts_PEF, 1.0)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 10.0))
def test_weights_never_add_up_to_more_than_the_residual(seed: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    residual_NF = random.standard_cauchy((200, 2)).astype(np.float32)
    residual_NF[random.random(residual_NF.shape) < 0.2] = np.nan

    weight_PF = fitted(residual_NF, noise).weight_PF

    assert weight_PF.shape == (N_PARTS, 2)
    assert len(SPANS) == N_PARTS - 1
    assert (weight_PF >= 0.0).all()
    assert (weight_PF.sum(axis=0) <= 1.0 + 1e-5).all()
