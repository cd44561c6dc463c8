"""Columns of tables as sensors: what is a number, what is missing, what 32 bits lose."""

import math
from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from pipeline.records import IntArray
from pipeline.sensor_column import sensor_column
from pipeline.table import Table

NOISE_N = np.random.default_rng(0).normal(size=1_000)


def test_a_column_of_text_is_left_out_and_told_of(csv: Callable[[str], Table]) -> None:
    table = csv("time,p,state\n1,1,on\n2,2,off\n3,3,on\n")

    assert table.sensors == ("p",)
    assert table.notes == ["column 'state' left out: it is text"]


def test_a_word_among_numbers_is_a_missing_value(csv: Callable[[str], Table]) -> None:
    table = csv("time,p,q\n1,1,7\n2,broken,8\n3,3,9\n")

    np.testing.assert_array_equal(table.values_NF, [[1, 7], [math.nan, 8], [3, 9]])
    assert table.notes == ["column 'p': 1 values are no numbers: missing"]


@pytest.mark.parametrize("text", ["inf", "-inf", "1e39", "1e400"])
def test_an_infinite_value_is_missing(text: str, csv: Callable[[str], Table]) -> None:
    table = csv(f"time,p\n1,{text}\n2,2\n")

    np.testing.assert_array_equal(table.values_NF, [[math.nan], [2]])
    assert table.notes == ["column 'p': 1 values beyond 3.4e38: missing"]


@pytest.mark.parametrize("text", ["", "NaN", "nan", "NA", "null"])
def test_a_value_that_says_it_is_none_is_missing(
    text: str, csv: Callable[[str], Table]
) -> None:
    table = csv(f"time,p\n1,{text}\n2,2\n")

    np.testing.assert_array_equal(table.values_NF, [[math.nan], [2]])
    assert table.notes == []


def test_parquet_columns_of_every_kind_of_number_are_sensors(
    parquet: Callable[[dict[str, object]], Table],
) -> None:
    table = parquet(
        {
            "time": [1, 2],
            "whole": pa.array([1, None], pa.int16()),
            "switch": pa.array([True, False]),
            "single": pa.array([0.5, math.inf], pa.float32()),
            "days": pa.array([date(2020, 1, 1)] * 2),
        }
    )

    assert table.sensors == ("whole", "switch", "single")
    np.testing.assert_array_equal(table.values_NF, [[1, 1, 0.5], [math.nan, 0, math.nan]])
    assert any("'days' left out" in note for note in table.notes)


def notes_of(values: object, unit_N: IntArray | None = None) -> list[str]:
    """What is said of a column of one sensor, by default of one unit."""
    column = pa.chunked_array([pa.array(values)])
    notes: list[str] = []
    unit_of_row = np.zeros(len(column), np.int64) if unit_N is None else unit_N
    sensor_column("p", column, unit_of_row, notes)
    return notes


@pytest.mark.parametrize("offset", [1e9, -1e9, 1e12])
def test_a_sensor_whose_movement_32_bits_cannot_hold_at_its_level_is_told_of(
    offset: float,
) -> None:
    [note] = notes_of(NOISE_N + offset)

    assert f"column 'p': at a level of {abs(offset):.3g} its movement is lost" in note
    assert "subtract an offset, here and before sending" in note
    assert len(note) < 200


def test_what_32_bits_hold_most_of_is_not_told_of() -> None:
    assert notes_of(NOISE_N + 1e5) == []
    assert notes_of((NOISE_N + 1e9).astype(np.float32)) == []


@pytest.mark.parametrize("level", [0.1, 1e9 + 0.1, 1e-300])
def test_what_stands_still_has_no_movement_to_lose(level: float) -> None:
    computed = level * (1.0 + 2e-16 * (np.arange(1_000) % 3))

    assert notes_of(np.full(1_000, level)) == []
    assert notes_of(computed) == []


def test_movement_is_that_within_units_however_far_apart_they_stand() -> None:
    unit_N = np.arange(1_000) % 2
    level_N = np.where(unit_N == 1, 1e9, 3e9) + 0.1

    assert notes_of(level_N, unit_N) == []
    assert len(notes_of(level_N + NOISE_N, unit_N)) == 1


def test_values_that_are_missing_do_not_hide_it() -> None:
    values = NOISE_N + 1e9
    values[::3] = np.nan
    values[1] = np.inf

    assert len(notes_of(values)) == 2


def test_a_whole_number_beyond_what_64_bit_floats_count_is_rounded() -> None:
    assert notes_of(pa.array([2**60 + 1, 1, 2])) == []
