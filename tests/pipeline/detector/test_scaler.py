"""Scaling: per sensor, whatever its unit."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.detector.detector import as_float32
from pipeline.detector.scaler import Scaler
from pipeline.records import FloatArray
from tests.builders import sensor_series


def fit(*columns: list[float]) -> Scaler:
    return Scaler.fit(np.array(columns, np.float32).T)


def test_a_sensor_is_scaled_by_its_mean_and_standard_deviation() -> None:
    scaler = fit([1.0, 3.0], [10.0, 50.0])

    assert scaler.mean_F.tolist() == [2.0, 30.0]
    assert scaler.scale_F.tolist() == [1.0, 20.0]
    assert scaler.mean_F.dtype == scaler.scale_F.dtype == np.float32


def test_missing_values_count_for_nothing() -> None:
    scaler = fit([1.0, math.nan, 3.0, math.nan])

    assert (scaler.mean_F[0], scaler.scale_F[0]) == (2.0, 1.0)


def test_a_sensor_that_stood_still_has_a_floor_in_proportion_to_its_level() -> None:
    scaler = fit([500.0] * 4, [-0.02] * 4, [0.0] * 4)

    np.testing.assert_allclose(scaler.scale_F, [5.0, 0.0002, 1.0], rtol=1e-6)


def test_rounding_is_no_movement() -> None:
    level = np.float32(1000.1)
    scaler = fit([float(level)] * 3 + [float(np.nextafter(level, np.float32(2000)))])

    np.testing.assert_allclose(scaler.scale_F, [10.0], rtol=1e-3)


@pytest.mark.parametrize("level", [1e-3, 1 + 2**-24, 16_777.3, 1e5, 1e9])
def test_what_rounding_to_float32_makes_of_a_level_is_no_movement(level: float) -> None:
    jitter_N = np.random.default_rng(0).normal(size=1_000)
    ulp = float(np.spacing(np.float32(level)))

    scaler = fit((level + 0.1 * ulp * jitter_N).tolist())

    assert scaler.is_constant_F.tolist() == [True]


@pytest.mark.parametrize("level", [10.0, -1e5])
def test_a_small_movement_on_a_high_level_is_movement(level: float) -> None:
    jitter_N = np.random.default_rng(0).normal(size=1_000)
    std = 5e-7 * abs(level)

    scaler = fit((level + std * jitter_N).tolist())

    assert scaler.is_constant_F.tolist() == [False]
    np.testing.assert_allclose(scaler.scale_F, [std], rtol=0.05)


def test_the_sensors_that_stood_still_are_known_and_so_from_a_manifest() -> None:
    scaler = fit([500.0] * 4, [0.0] * 4, [math.nan] * 4, [1.0, 2.0, 1.0, 2.0])
    from_lists = Scaler(
        as_float32(scaler.mean_F.tolist()), as_float32(scaler.scale_F.tolist())
    )

    assert scaler.is_constant_F.tolist() == [True, True, True, False]
    assert from_lists.is_constant_F.tolist() == [True, True, True, False]


@pytest.mark.parametrize("values", [[-1.0, 1.0], [99.0, 101.0]])
def test_a_sensor_that_moves_by_just_the_floor_did_not_stand_still(
    values: list[float],
) -> None:
    scaler = fit(values)

    assert scaler.is_constant_F.tolist() == [False]
    np.testing.assert_allclose(scaler.scale_F, [1.0], rtol=1e-6)


def test_a_sensor_without_any_value_is_left_as_it_is() -> None:
    scaler = fit([math.nan] * 3)

    assert (scaler.mean_F[0], scaler.scale_F[0]) == (0.0, 1.0)


@given(exponent=st.integers(-20, 20), seed=st.integers(0, 3))
def test_a_sensor_in_another_unit_is_scaled_to_the_same(exponent: int, seed: int) -> None:
    values_NF = sensor_series(100, seed)
    factor = np.float32(2.0**exponent)

    def scaled(values_NF: FloatArray) -> FloatArray:
        scaler = Scaler.fit(values_NF)
        return (values_NF - scaler.mean_F) / scaler.scale_F

    np.testing.assert_allclose(scaled(values_NF * factor), scaled(values_NF), atol=1e-5)


@example(values=[1e-44])
@example(values=[1e-45, 0.0])
@given(
    values=st.lists(
        st.floats(width=32, allow_infinity=False, allow_nan=True), min_size=1, max_size=20
    )
)
def test_every_history_has_a_finite_mean_and_a_scale_above_0(values: list[float]) -> None:
    scaler = fit(values)

    assert np.isfinite(scaler.mean_F).all()
    assert np.isfinite(scaler.scale_F).all()
    assert (scaler.scale_F > 0).all()
