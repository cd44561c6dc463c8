"""What each sensor is: scored, context for the networks, or left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray
from trainer.roles import Roles, roles

MOVING = [0.3, 1.7, 2.9, 0.1]
FLAG = [0.0, 1.0, 1.0, 0.0]
STILL = [21.5] * 4
ZERO = [0.0] * 4
NAN = float("nan")


def roles_of(*columns: list[float]) -> Roles:
    values_NF: FloatArray = np.array(columns, dtype=np.float32).T
    return roles(values_NF, np.zeros(len(values_NF), dtype=np.int64))


def test_what_moves_is_scored_and_what_stood_still_is_left_out() -> None:
    found = roles_of(MOVING, STILL, ZERO)

    assert found.is_scored_F.tolist() == [True, False, False]
    assert found.is_left_out_F.tolist() == [False, True, True]


@pytest.mark.parametrize(
    "flag",
    [FLAG, [5.0, 0.0, 0.0, 5.0], [-1.0, 0.0, -1.0, 0.0], [0.0, NAN, 1.0, NAN]],
)
def test_two_values_of_which_one_is_0_are_a_flag_that_networks_see(
    flag: list[float],
) -> None:
    found = roles_of(MOVING, flag)

    assert found.is_scored_F.tolist() == [True, False]
    assert not found.is_left_out_F.any()


def test_three_values_are_a_sensor() -> None:
    assert roles_of(MOVING, [0.0, 1.0, 2.0, 0.0]).is_scored_F.all()


@pytest.mark.parametrize("flag", [[1.0, 2.0, 2.0, 1.0], [-1.0, 1.0, NAN, 1.0]])
def test_beside_a_sensor_of_more_values_any_two_are_a_flag(flag: list[float]) -> None:
    found = roles_of(MOVING, flag)

    assert found.is_scored_F.tolist() == [True, False]
    assert not found.is_left_out_F.any()


def test_a_sensor_that_once_showed_another_value_is_none() -> None:
    once = [0.5] * 4_000 + [1.0]
    found = roles_of(MOVING * 1_000 + [5.0], once)

    assert found.is_scored_F.all()


def test_beside_flags_alone_two_other_values_are_a_sensor() -> None:
    assert roles_of(FLAG, [1.0, 2.0, 2.0, 1.0]).is_scored_F.tolist() == [False, True]


def test_missing_values_are_no_movement() -> None:
    found = roles_of(MOVING, [21.5, NAN, 21.5, NAN], [NAN] * 4)

    assert found.is_left_out_F.tolist() == [False, True, True]


def test_beside_flags_alone_what_stood_still_is_scored() -> None:
    found = roles_of(FLAG, STILL, ZERO)

    assert found.is_scored_F.tolist() == [False, True, False]
    assert found.is_left_out_F.tolist() == [False, False, True]


@pytest.mark.parametrize("columns", [[FLAG], [FLAG, FLAG], [ZERO], [ZERO, [NAN] * 4]])
def test_where_nothing_else_is_left_everything_is_scored(
    columns: list[list[float]],
) -> None:
    found = roles_of(*columns)

    assert found.is_scored_F.all()
    assert not found.is_left_out_F.any()


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.5, NAN]), min_size=5, max_size=5),
        min_size=1,
        max_size=6,
    )
)
def test_some_sensor_is_scored_and_none_of_those_is_left_out(
    columns: list[list[float]],
) -> None:
    found = roles_of(*columns)

    assert found.is_scored_F.any()
    assert not (found.is_scored_F & found.is_left_out_F).any()


@given(st.permutations([MOVING, FLAG, STILL, ZERO]))
def test_a_role_does_not_depend_on_where_a_column_stands(
    columns: list[list[float]],
) -> None:
    scored_F = roles_of(*columns).is_scored_F.tolist()

    assert scored_F == [column is MOVING for column in columns]


def test_what_says_which_unit_it_is_is_context() -> None:
    """A setting that stands still in each unit, at another value in each."""
    setting = [50.0, 50.0, 80.0, 80.0]
    values_NF: FloatArray = np.array([MOVING, setting, STILL], dtype=np.float32).T

    found = roles(values_NF, np.array([0, 0, 1, 1]))

    assert found.is_scored_F.tolist() == [True, False, False]
    assert found.is_left_out_F.tolist() == [False, False, True]
