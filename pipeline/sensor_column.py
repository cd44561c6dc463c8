"""A table's column as a sensor's values: what is a number, what 32 bits hold of it."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.records import FloatArray, IntArray

MISSING_TEXTS = frozenset(pyarrow.csv.ConvertOptions().null_values)
"""What stands for a missing value in a column of numbers. A unit may well be called NA."""
MIN_NUMERIC_SHARE = 0.5
"""A column of text in which fewer values than this are numbers is no sensor."""
MAX_ROUNDING_SHARE = 0.1
"""Of a sensor's standard deviation. Where rounding is more, its movement is lost."""
ARITHMETIC_NOISE = 8 * float(np.finfo(np.float64).eps)
"""Of a value. What moves by less stands still; its last digits come of a computation."""


def sensor_column(
    name: str, column: pa.ChunkedArray, unit_N: IntArray, notes: list[str]
) -> FloatArray | None:
    """The values of one sensor, NaN where missing; None if the column is no sensor.

    Args:
        name: the column's.
        column: of any type; N values.
        unit_N: each row's unit, as an index.
        notes: told, in words, what is left out, missing or lost.
    """
    numbers = _numbers(name, column, notes)
    if numbers is None:
        return None
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    infinite = np.isinf(values)
    if infinite.any():
        n_infinite = int(infinite.sum())
        notes.append(f"column {name!r}: {n_infinite} values beyond 3.4e38: missing")
        values[infinite] = np.nan
    is_value = ~np.isnan(values)
    if _is_movement_lost(numbers[is_value], values[is_value], unit_N[is_value]):
        level = np.nanmax(np.abs(values))
        notes.append(
            f"column {name!r}: at a level of {level:.3g} its movement is lost in 32-bit "
            "floats, which hold readings live too; subtract an offset, here and before "
            "sending"
        )
    return values


def _numbers(
    name: str, column: pa.ChunkedArray, notes: list[str]
) -> npt.NDArray[np.float64] | None:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = column.to_pylist()
        numbers = np.array([_number(text) for text in texts], dtype=np.float64)
        n_texts = sum(not (text is None or text in MISSING_TEXTS) for text in texts)
        n_bad = n_texts - int((~np.isnan(numbers)).sum())
        if n_texts - n_bad < MIN_NUMERIC_SHARE * n_texts:
            notes.append(f"column {name!r} left out: it is text")
            return None
        if n_bad:
            notes.append(f"column {name!r}: {n_bad} values are no numbers: missing")
        return numbers
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        # Unsafe: a whole number beyond 2^53 is rounded, not refused.
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.asarray(numbers)
    notes.append(f"column {name!r} left out: {kind} is no number")
    return None


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan


def _is_movement_lost(
    numbers: npt.NDArray[np.float64], values: FloatArray, unit_N: IntArray
) -> bool:
    """Whether numbers move, each within its unit, by little more than their rounding.

    Args:
        numbers: as they came, none missing.
        values: the same as 32-bit floats.
        unit_N: their units, which may stand at levels of their own.
    """
    rounding_N = numbers - values
    if not rounding_N.any():
        return False
    lowest_U = np.full(int(unit_N.max()) + 1, np.inf)
    np.minimum.at(lowest_U, unit_N, numbers)
    # Above the lowest, so that what stands still is exactly 0 at any level.
    above_N = numbers - lowest_U[unit_N]
    n_of_unit = np.maximum(np.bincount(unit_N), 1)
    mean_U = np.bincount(unit_N, above_N) / n_of_unit
    spread = _root_mean_square(above_N - mean_U[unit_N])
    if spread <= ARITHMETIC_NOISE * float(np.abs(numbers).max()):
        return False
    return _root_mean_square(rounding_N) > MAX_ROUNDING_SHARE * spread


def _root_mean_square(x: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))
