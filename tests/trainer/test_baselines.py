"""Baselines: what they learn from a reference, and that odd data does not break them."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.records import FloatArray
from pipeline.window import Windows, cut_windows
from tests import builders
from trainer.baselines import (
    LEARNED,
    MAX_REFERENCE_WINDOWS,
    RIDGE,
    LearnedBaseline,
    learn,
    reference_windows,
    whole_windows,
)

RAW_NF = builders.sensor_series(2_000)


def series(n_readings: int, seed: int) -> FloatArray:
    """Scaled readings of the sensors that the reference is of."""
    values_NF = builders.sensor_series(n_readings, seed=seed)
    return np.asarray((values_NF - RAW_NF.mean(axis=0)) / RAW_NF.std(axis=0))


NORMAL_NF = series(2_000, seed=0)


def reference(values_NF: FloatArray = NORMAL_NF, length: int = 8) -> FloatArray:
    return reference_windows(cut_windows(values_NF, length))


def learned(name: str, values_NF: FloatArray = NORMAL_NF) -> LearnedBaseline:
    return learn(name, reference(values_NF))


def test_the_reference_holds_the_newest_readings_of_windows_from_all_of_the_history() -> (
    None
):
    values_NF = np.arange(5_000, dtype=np.float32)[:, None]

    reference_BTF = reference(values_NF, length=32)

    assert reference_BTF.shape == (MAX_REFERENCE_WINDOWS, 8, 1)
    assert reference_BTF[0, :, 0].tolist() == list(range(24, 32))
    assert reference_BTF[-1, :, 0].tolist() == list(range(4_992, 5_000))
    np.testing.assert_allclose(np.diff(reference_BTF[:, 0, 0]), 2.5, atol=0.5)


def test_a_short_window_is_taken_whole() -> None:
    assert reference(NORMAL_NF[:100], length=4).shape == (97, 4, 3)


@pytest.mark.parametrize("n_sensors", [100, 10_000])
def test_the_reference_takes_at_most_4_mib(n_sensors: int) -> None:
    values_NF = np.zeros((300, n_sensors), dtype=np.float32)
    repeated = Windows(values_NF, np.arange(3_000) % 200, 32)

    assert 0 < reference_windows(repeated).nbytes <= 4 * 2**20


@pytest.mark.parametrize("name", LEARNED)
def test_a_baseline_scores_a_fault_above_its_threshold(name: str) -> None:
    values_NF = series(300, seed=1)
    values_NF[200:220, 0] += 8.0

    score_B = learned(name).score(values_NF)

    assert len(score_B) == 300 - 8 + 1
    assert score_B[200 - 7 : 220 - 7].min() > 1.0
    assert score_B.argmax() in range(200 - 7, 220)


@pytest.mark.parametrize("name", LEARNED)
def test_about_1_percent_of_normal_readings_are_above_the_threshold(name: str) -> None:
    score_B = learned(name).score(series(5_000, seed=2))

    assert (score_B >= 1.0).mean() < 0.03


def test_mahalanobis_is_the_distance_under_the_references_covariance() -> None:
    baseline = learned("mahalanobis")
    flat_NF = reference().reshape(-1, 3).astype(np.float64)
    covariance_FF = np.cov(flat_NF.T, bias=True) + RIDGE * np.eye(3)
    values_NF = series(50, seed=3)
    away_NF = values_NF - flat_NF.mean(axis=0)

    expected_N = np.sqrt(
        np.einsum("nf,fg,ng->n", away_NF, np.linalg.inv(covariance_FF), away_NF)
    )

    found_B = baseline.score(values_NF) * baseline.threshold
    np.testing.assert_allclose(found_B, expected_N[7:], rtol=1e-4)


def test_the_nearest_window_is_found_among_all() -> None:
    baseline = learned("nearest_window")
    values_NF = series(50, seed=3)

    expected_B = [
        np.sqrt(np.square(reference() - window_TF).sum(axis=(1, 2)).min())
        for window_TF in builders.windows_of(values_NF)
    ]

    found_B = baseline.score(values_NF) * baseline.threshold
    np.testing.assert_allclose(found_B, expected_B, rtol=1e-4)


def test_a_window_of_the_reference_itself_is_at_no_distance_from_it() -> None:
    exact = learn("nearest_window", reference())

    assert exact.score(reference()[5]).tolist() == pytest.approx([0.0], abs=1e-5)


def odd(kind: str) -> FloatArray:
    """Normal history with something unusual about it."""
    values_NF = series(400, seed=0)
    if kind == "missing":
        values_NF[np.random.default_rng(0).random(values_NF.shape) < 0.3] = np.nan
    if kind == "empty sensor":
        values_NF[:, 1] = np.nan
    if kind == "constant":
        values_NF[:, 1] = 21.5
    if kind == "all constant":
        values_NF[:] = 21.5
    if kind == "copies":
        values_NF[:, 1] = values_NF[:, 0]
    if kind == "huge":
        values_NF[:, 1] *= 1e30
    return values_NF if kind != "few" else values_NF[:9]


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty sensor", "constant", "all constant", "copies", "huge", "few"],
)
@pytest.mark.parametrize("name", LEARNED)
def test_odd_history_gives_finite_scores(name: str, kind: str) -> None:
    baseline = learned(name, odd(kind))
    live_NF = series(50, seed=1)
    live_NF[20:30] = np.nan
    live_NF[40] = np.finfo(np.float32).max

    assert np.isfinite(baseline.score(live_NF)).all()
    assert baseline.threshold > 0


@pytest.mark.parametrize("name", LEARNED)
def test_one_window_of_history_is_enough_to_score(name: str) -> None:
    baseline = learn(name, reference()[:1])

    assert np.isfinite(baseline.score(NORMAL_NF[:30])).all()


@pytest.mark.parametrize("name", LEARNED)
def test_fewer_readings_than_a_window_have_no_score(name: str) -> None:
    assert len(learned(name).score(NORMAL_NF[:7])) == 0


@pytest.mark.parametrize("name", LEARNED)
def test_a_missing_value_counts_as_the_mean(name: str) -> None:
    baseline = learned(name)
    missing_NF = series(20, seed=1)
    missing_NF[10, 0] = np.nan
    filled_NF = missing_NF.copy()
    filled_NF[10, 0] = 0.0

    np.testing.assert_allclose(baseline.score(missing_NF), baseline.score(filled_NF))


@pytest.mark.parametrize("name", LEARNED)
def test_the_threshold_comes_from_readings_that_were_held_out(name: str) -> None:
    windows = cut_windows(NORMAL_NF, 8)
    twice = replace(windows, start_B=np.repeat(windows.start_B[::20], 2))

    baseline = learn(name, reference_windows(twice))

    # Each window lies in the reference twice; leaving out only itself would give 0.
    assert baseline.threshold > 0.05


def test_whole_windows_are_kept_in_their_order_within_4_mib() -> None:
    values_NF = np.arange(60_000 * 3, dtype=np.float32).reshape(-1, 3)
    whole_BTF = whole_windows(cut_windows(values_NF, 32))

    assert whole_BTF is not None
    assert whole_BTF.shape == (MAX_REFERENCE_WINDOWS, 32, 3)
    assert whole_BTF.nbytes <= 4 * 2**20
    assert (np.diff(whole_BTF[:, 0, 0]) > 0).all()


def test_of_windows_too_large_none_is_kept_whole() -> None:
    assert whole_windows(cut_windows(np.zeros((600, 300), np.float32), 128)) is None
