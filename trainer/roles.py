"""What each sensor is to a detector: scored, context, or left out."""

from typing import NamedTuple

import numpy as np

from pipeline.records import BoolArray, FloatArray, IntArray, group_starts

MIN_FLAG_SHARE = 0.0005
"""Of readings at the rarer of a flag's two values, unless one of them is 0."""


class Roles(NamedTuple):
    """Per sensor; at least one is scored."""

    is_left_out_F: BoolArray
    """Never moved: the networks learn nothing from it."""
    is_scored_F: BoolArray
    """The others that stay are flags: context that the networks see."""


def roles(values_NF: FloatArray, unit_N: IntArray) -> Roles:
    """Tell sensors from flags and from what stood still, by the values of the history.

    A flag has two values, of which one is 0 or neither is rare: a sensor that once or twice
    showed another value is none. Commands and modes are flags; they change for good reasons
    that the other sensors do not show, and an alarm at each change is a false one. The same
    holds for what stood still all through the history, and for what stood still in every
    unit, which says what kind of unit it is. Where no sensor has more than two values,
    those stay sensors of which neither is 0, and if there is none, what stood still at
    another value than 0; then the flags are scored, and if there are none, everything.

    Args:
        values_NF: readings in the sensors' own units, NaN where missing; those of one unit
            together.
        unit_N: their units.
    """
    low_F, high_F = _extremes(values_NF)
    is_constant_F = low_F == high_F
    is_on_or_off_F = np.isnan(values_NF) | (values_NF == low_F) | (values_NF == high_F)
    is_two_valued_F = is_on_or_off_F.all(axis=0) & ~is_constant_F
    has_more_values = not (is_two_valued_F | is_constant_F).all()
    is_mode_F = has_more_values & (_rarer_share(values_NF, low_F) >= MIN_FLAG_SHARE)
    is_flag_F = is_two_valued_F & ((low_F == 0.0) | (high_F == 0.0) | is_mode_F)
    is_flag_F |= _stands_still_in_units(values_NF, unit_N) & ~is_constant_F
    is_scored_F = ~is_constant_F & ~is_flag_F
    if not is_scored_F.any():
        is_scored_F = ~is_flag_F & ((low_F != 0.0) | (high_F != 0.0))
    if not is_scored_F.any():
        is_scored_F = ~is_constant_F if is_flag_F.any() else np.ones_like(is_constant_F)
    return Roles(is_constant_F & ~is_scored_F, is_scored_F)


def _rarer_share(values_NF: FloatArray, low_F: FloatArray) -> FloatArray:
    """Of each sensor's readings, the share at its lowest value or at others, the rarer."""
    n_F = np.maximum((~np.isnan(values_NF)).sum(axis=0), 1)
    low_share_F = (values_NF == low_F).sum(axis=0) / n_F
    return np.asarray(np.minimum(low_share_F, 1.0 - low_share_F), dtype=np.float32)


def _stands_still_in_units(values_NF: FloatArray, unit_N: IntArray) -> BoolArray:
    first_G = group_starts(unit_N)
    low_GF = np.fmin.reduceat(values_NF, first_G, axis=0)
    high_GF = np.fmax.reduceat(values_NF, first_G, axis=0)
    return np.asarray((np.isnan(low_GF) | (low_GF == high_GF)).all(axis=0))


def _extremes(values_NF: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of each sensor; 0 and 0 where it has none."""
    low_F = np.where(np.isnan(values_NF), np.inf, values_NF).min(axis=0)
    high_F = np.where(np.isnan(values_NF), -np.inf, values_NF).max(axis=0)
    is_empty_F = low_F > high_F
    return np.where(is_empty_F, 0.0, low_F), np.where(is_empty_F, 0.0, high_F)
