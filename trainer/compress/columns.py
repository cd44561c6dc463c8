"""One sensor's values as whole numbers, and back within the bound."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.compress.coding import Draft, Series, coded, decoded, drafted, encoded

FloatsArray = npt.NDArray[np.float64]
NARROW_SHARE = 0.999
"""Of what the bound allows, a narrow step takes. The rest is for values halfway between two
steps, and for reconstructions that come out otherwise on another machine."""
ROUNDING = 2.0**-23
"""Of a value: more than a 32-bit float is off. Values that came in 64 bits are to come back
within the bound of these, too."""
By: TypeAlias = Literal["plain", "narrow", "network", "exact"]
"""What a column's numbers are: steps above the sensor's minimum, narrow steps above it,
narrow steps above the network's reconstruction, or the values' own bits."""
VALUE_ORDERS = (0, 1)


class Column(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """N values of one sensor, those of a unit together."""

    by: By
    missing: Series | None
    """1 where a value is missing. The numbers are of the others alone."""
    numbers: Series


class Quantiser(NamedTuple):
    """One sensor's steps."""

    minimum: float
    maximum: float
    """Both of the values in the file; 32-bit floats."""
    max_error: float
    """As a share of the range between them."""

    @property
    def bound(self) -> float:
        """Largest error, in the sensor's own unit."""
        return self.max_error * (self.maximum - self.minimum)

    def step(self, by: By) -> float:
        """From one quantised value to the next; 0 of a constant."""
        if by == "plain":
            return 2.0 * self.bound
        return 2.0 * max(NARROW_SHARE * self.bound - 2.0 * self._rounding, 0.0)

    def holds(self, value_N: FloatArray, decoded_N: FloatArray) -> bool:
        """Whether all of these are within the bound."""
        error_N = np.abs(value_N.astype(np.float64) - decoded_N)
        return bool((error_N <= max(self.bound - self._rounding, 0.0)).all())

    @property
    def _rounding(self) -> float:
        return ROUNDING * max(abs(self.minimum), abs(self.maximum))

    def base(self, expected_N: FloatsArray | None, n: int) -> FloatsArray:
        """What steps are counted from: the reconstruction, or the minimum without one."""
        if expected_N is None:
            return np.full(n, self.minimum)
        finite_N = np.nan_to_num(expected_N, nan=self.minimum)
        return np.clip(finite_N, self.minimum, self.maximum)

    def numbers(self, by: By, value_N: FloatArray, base_N: FloatsArray) -> IntArray:
        """Steps of values above their base."""
        step = self.step(by)
        if step == 0.0:
            return np.zeros(len(value_N), dtype=np.int64)
        return np.rint((value_N - base_N) / step).astype(np.int64)

    def values(self, by: By, number_N: IntArray, base_N: FloatsArray) -> FloatArray:
        """Steps above their base as values."""
        value_N = base_N + number_N * self.step(by)
        return np.clip(value_N, self.minimum, self.maximum).astype(np.float32)


class DraftColumn(NamedTuple):
    """A column that is not coded yet."""

    by: By
    draft: Draft
    decoded_N: FloatArray
    """What comes back, NaN where missing."""

    @property
    def n_bytes(self) -> int:
        """Guessed."""
        return self.draft.n_bytes


def drafted_column(
    value_N: FloatArray, quantiser: Quantiser, expected_N: FloatsArray | None = None
) -> DraftColumn:
    """Values as whole numbers, decoded again and held against the bound.

    Args:
        value_N: NaN where missing.
        quantiser: the sensor's.
        expected_N: the reconstruction, NaN where there is none; None: there is no network.
    """
    there_N = ~np.isnan(value_N)
    there = value_N[there_N]
    base = quantiser.base(None if expected_N is None else expected_N[there_N], len(there))
    ways: tuple[By, ...] = ("plain", "narrow") if expected_N is None else ("network",)
    by: By
    for by in ways:
        numbers = quantiser.numbers(by, there, base)
        values = quantiser.values(by, numbers, base)
        if quantiser.holds(there, values):
            break
    else:
        # At a high level the values' own rounding may be larger than the bound.
        by, numbers, values = "exact", there.view(np.int32).astype(np.int64), there
    decoded_N = np.full(len(value_N), np.nan, dtype=np.float32)
    decoded_N[there_N] = values
    return DraftColumn(by, drafted(numbers, VALUE_ORDERS), decoded_N)


def coded_missing(value_N: FloatArray) -> Series | None:
    """Where values are missing."""
    missing_N = np.isnan(value_N)
    return encoded(missing_N.astype(np.int64), (0, 1)) if missing_N.any() else None


def coded_column(column: DraftColumn, missing: Series | None) -> Column:
    """A draft, coded."""
    return Column(column.by, missing, coded(column.draft))


def decoded_column(
    column: Column, quantiser: Quantiser, n: int, expected_N: FloatsArray | None
) -> FloatArray:
    """The N values, NaN where missing.

    Raises:
        ValueError: the column is not what `coded_column` makes.
    """
    there_N: BoolArray = np.ones(n, dtype=np.bool_)
    if column.missing is not None:
        there_N = decoded(column.missing, n) == 0
    n_there = int(there_N.sum())
    numbers = decoded(column.numbers, n_there)
    value_N = np.full(n, np.nan, dtype=np.float32)
    if column.by == "exact":
        value_N[there_N] = numbers.astype(np.int32).view(np.float32)
        return value_N
    if column.by == "network":
        if expected_N is None:
            raise ValueError("residuals without a reconstruction")
        base = quantiser.base(expected_N[there_N], n_there)
    else:
        base = quantiser.base(None, n_there)
    value_N[there_N] = quantiser.values(column.by, numbers, base)
    return value_N


def largest_error(
    value_NF: FloatArray, decoded_NF: FloatArray, quantisers: Sequence[Quantiser]
) -> float:
    """Of N values of F sensors, as a share of their ranges; 0 without a value."""
    largest = 0.0
    for value_N, decoded_N, quantiser in zip(
        value_NF.T, decoded_NF.T, quantisers, strict=True
    ):
        span = quantiser.maximum - quantiser.minimum
        error_N = np.abs(value_N.astype(np.float64) - decoded_N)
        if span > 0.0:
            largest = max(largest, float(np.nanmax(error_N / span, initial=0.0)))
    return largest
