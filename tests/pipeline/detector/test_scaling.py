"""Lines of scalers: one of all units, and those that units have of their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import MAX_SCALED, POOLED, Scaling
from pipeline.records import FloatArray

F32_MAX = float(np.finfo(np.float32).max)
POOL = Scaler(np.array([10.0, -5.0], np.float32), np.array([2.0, 0.5], np.float32))
OWN = Scaling(
    POOL,
    ["a", "b"],
    mean_UF=np.array([[100.0, 0.0], [1.0, 1.0]], np.float32),
    scale_UF=np.array([[10.0, 1.0], [1.0, 4.0]], np.float32),
)


def test_readings_are_scaled_by_the_line_of_their_unit() -> None:
    values_NF = np.array([[120.0, 3.0], [12.0, -4.0], [0.0, 9.0]], np.float32)
    line_N = np.array([OWN.line("a"), OWN.line("never seen"), OWN.line("b")])

    x_NF = OWN.scaled(values_NF, line_N)

    assert x_NF.tolist() == [[2.0, 3.0], [1.0, 2.0], [-1.0, 2.0]]
    np.testing.assert_array_equal(OWN.unscaled(x_NF, line_N), values_NF)


def test_a_unit_that_was_not_trained_on_has_the_pooled_scaler() -> None:
    assert OWN.line("c") == POOLED
    assert Scaling(POOL).line("a") == POOLED


def test_what_is_missing_stays_missing() -> None:
    x_NF = Scaling(POOL).scaled(np.array([[np.nan, 0.0]], np.float32))

    assert np.isnan(x_NF).tolist() == [[True, False]]


@given(st.floats(-F32_MAX, F32_MAX, width=32))
def test_whatever_comes_is_finite_before_and_after(value: float) -> None:
    values_NF: FloatArray = np.full((1, 2), value, np.float32)

    x_NF = OWN.scaled(values_NF, OWN.line("b"))

    assert (np.abs(x_NF) <= MAX_SCALED).all()
    assert np.isfinite(OWN.unscaled(x_NF, OWN.line("a"))).all()
    assert x_NF.dtype == np.float32


@pytest.mark.parametrize("n_readings", [0, 3, 16, 40])
def test_one_line_holds_for_all_readings(n_readings: int) -> None:
    values_NF = np.arange(2 * n_readings, dtype=np.float32).reshape(n_readings, 2)

    at_once = OWN.scaled(values_NF, 2)

    np.testing.assert_array_equal(at_once, OWN.scaled(values_NF, np.full(n_readings, 2)))
