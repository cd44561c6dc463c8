"""Units of one kind share a scaler; units at levels of their own have their own."""

from typing import Literal

import numpy as np
import pytest

from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.scaling import MIN_GAIN, MIN_OWN_SHARE, Choice, choose_scaling

N = 400
UNITS = tuple(f"pump-{number}" for number in range(6))
UNIT_N: IntArray = np.repeat(np.arange(len(UNITS)), N)


def noise(seed: int = 0, n_sensors: int = 2) -> FloatArray:
    random = np.random.default_rng(seed)
    return random.normal(size=(len(UNIT_N), n_sensors)).astype(np.float32)


def chosen(values_NF: FloatArray, is_scored_F: BoolArray | None = None) -> Choice:
    if is_scored_F is None:
        is_scored_F = np.ones(values_NF.shape[1], dtype=np.bool_)
    return choose_scaling(values_NF, UNIT_N, UNITS, is_scored_F)


def levels(spread: float) -> FloatArray:
    """A level of each unit, the same for all its readings, shape (N, 1)."""
    of_unit = np.random.default_rng(1).normal(scale=spread, size=len(UNITS))
    return of_unit[UNIT_N][:, None].astype(np.float32)


def test_units_that_are_alike_share_a_scaler() -> None:
    choice = chosen(noise())

    assert choice.scaling.units == ()
    assert abs(choice.gain) < MIN_GAIN


def test_units_at_levels_of_their_own_have_their_own_scalers() -> None:
    values_NF = noise() + levels(5.0)

    choice = chosen(values_NF)

    assert choice.scaling.units == UNITS
    assert choice.gain > 1.0
    for number, unit in enumerate(UNITS):
        own_NF = values_NF[number == UNIT_N]
        x_NF = choice.scaling.scaled(own_NF, choice.scaling.line(unit))
        np.testing.assert_allclose(x_NF.mean(axis=0), 0.0, atol=1e-3)
        np.testing.assert_allclose(x_NF.std(axis=0), 1.0, atol=1e-3)


def test_units_of_another_spread_have_their_own_scalers() -> None:
    spread_N1 = 3.0 ** (UNIT_N[:, None] % 3)

    choice = chosen((noise() * spread_N1).astype(np.float32))

    assert choice.scaling.units == UNITS


def test_levels_that_wander_through_all_units_are_no_levels_of_their_own() -> None:
    """Of a unit that drifts as far as units differ, the past level says nothing."""
    random = np.random.default_rng(2)
    walk_NF = random.normal(size=(len(UNIT_N) // 100, 2)).repeat(100, axis=0)

    choice = chosen((0.1 * noise() + walk_NF).astype(np.float32))

    assert choice.scaling.units == ()


def test_one_unit_needs_no_scaler_beside_the_pooled_one() -> None:
    choice = choose_scaling(
        noise(), np.zeros(len(UNIT_N), np.int64), ("pump",), np.array([True, True])
    )

    assert choice == (choice.scaling, 0.0)
    assert choice.scaling.units == ()


def test_flags_are_scaled_alike_in_all_units() -> None:
    values_NF = noise() + levels(5.0)
    values_NF[:, 1] = UNIT_N % 2

    scaling = chosen(values_NF, np.array([True, False])).scaling

    assert scaling.units == UNITS
    assert (scaling.mean_UF[:, 1] == scaling.pooled.mean_F[1]).all()
    assert (scaling.scale_UF[:, 1] == scaling.pooled.scale_F[1]).all()


def test_a_unit_that_stood_still_is_not_scaled_by_nothing() -> None:
    """It may start one day, as the others did."""
    values_NF = noise() + levels(5.0)
    values_NF[UNIT_N == 3] = 7.0

    scaling = chosen(values_NF).scaling

    usual = np.sqrt(np.mean([values_NF[u == UNIT_N].var(axis=0) for u in range(6)]))
    np.testing.assert_allclose(scaling.scale_UF[3], MIN_OWN_SHARE * usual, rtol=0.1)
    np.testing.assert_allclose(scaling.mean_UF[3], 7.0, rtol=1e-4)


def test_a_sensor_that_a_unit_does_not_have_stays_pooled_for_it() -> None:
    values_NF = noise() + levels(5.0)
    values_NF[UNIT_N == 3, 1] = np.nan

    scaling = chosen(values_NF).scaling

    assert scaling.mean_UF[3, 1] == scaling.pooled.mean_F[1]
    assert np.isfinite(scaling.mean_UF).all()
    assert (scaling.scale_UF > 0).all()


@pytest.mark.parametrize(("asked", "expected"), [("pooled", ()), ("per-unit", UNITS)])
@pytest.mark.parametrize("spread", [0.0, 5.0])
def test_what_is_asked_for_is_done_whatever_would_be_better(
    spread: float, asked: Literal["pooled", "per-unit"], expected: tuple[str, ...]
) -> None:
    values_NF = noise() + levels(spread)

    choice = choose_scaling(values_NF, UNIT_N, UNITS, np.array([True, True]), asked)

    assert choice.scaling.units == expected
    assert choice.gain == chosen(values_NF).gain


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_the_choice_does_not_depend_on_the_sensors_units(factor: float) -> None:
    values_NF = noise() + levels(5.0)

    scaled = chosen((values_NF * factor).astype(np.float32))

    assert scaled.scaling.units == UNITS
    assert scaled.gain == pytest.approx(chosen(values_NF).gain, rel=1e-3)


def test_one_stretch_that_moved_far_does_not_decide_for_all() -> None:
    values_NF = noise() + levels(5.0)
    values_NF[-N // 4 :] += 1e4

    assert chosen(values_NF).scaling.units == UNITS
