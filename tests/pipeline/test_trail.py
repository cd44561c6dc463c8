"""The newest rows of every unit: the same past, however readings are cut into polls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import trail
from pipeline.records import FloatArray, IntArray
from pipeline.trail import Extended, Trails, extended, n_to_add


def trails(n_kept: int) -> Trails:
    """Of one array of two columns, and one of plain numbers."""
    return Trails(n_kept, np.empty((0, 2), np.float32), np.empty(0, np.int64))


def extend(live: Trails, rows: list[int], first: int = 0, n_rows: int = 3) -> Extended:
    """One poll whose rows count up from `first`, in both arrays."""
    number_N = first + np.arange(len(rows))
    columns_NC = np.column_stack([number_N, -number_N]).astype(np.float32)
    return live.extend(np.array(rows, np.int64), n_rows, columns_NC, number_N)


def past(poll: Extended, n: int) -> list[int]:
    """The numbers that stand before the poll's n-th row, and its own."""
    _, number_M = poll.flats
    end = int(poll.position_N[n])
    numbers: list[int] = number_M[end - int(poll.n_before_N[n]) : end + 1].tolist()
    return numbers


def test_what_was_kept_stands_before_what_is_new() -> None:
    live = trails(n_kept=2)
    extend(live, [0, 0, 0], first=10)

    poll = extend(live, [0, 0], first=20)

    assert [past(poll, n) for n in range(2)] == [[11, 12, 20], [12, 20, 21]]
    assert poll.n_before_N.tolist() == [2, 2]


def test_arrays_are_kept_side_by_side() -> None:
    live = trails(n_kept=2)
    extend(live, [0, 1])

    columns_MC, number_M = extend(live, [0, 0, 1], first=5).flats

    assert columns_MC.dtype == np.float32
    assert number_M.dtype == np.int64
    np.testing.assert_array_equal(columns_MC[:, 0], number_M)
    np.testing.assert_array_equal(columns_MC[:, 1], -number_M)


def test_each_unit_has_a_past_of_its_own() -> None:
    live = trails(n_kept=3)
    extend(live, [0, 0, 2], first=0)

    poll = extend(live, [0, 1, 2], first=10)

    assert [past(poll, n) for n in range(3)] == [[0, 1, 10], [11], [2, 12]]


@pytest.mark.parametrize("part_bytes", [1, 100])
def test_a_past_does_not_depend_on_how_many_units_are_worked_on_at_a_time(
    part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "PART_BYTES", part_bytes)
    live = trails(n_kept=2)
    for first in (0, 10, 20):
        extend(live, list(range(9)), first, n_rows=9)

    poll = extend(live, list(range(9)), first=30, n_rows=9)

    assert [past(poll, n) for n in range(9)] == [[10 + n, 20 + n, 30 + n] for n in range(9)]


def test_a_unit_that_a_poll_has_nothing_of_keeps_its_past() -> None:
    live = trails(n_kept=2)
    extend(live, [0, 1], first=0)
    extend(live, [1, 1, 1], first=10)

    assert past(extend(live, [0], first=20), 0) == [0, 20]


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """How many rows are kept, and polls of rows that each belong to one of three units."""
    polls = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=8)
    return draw(st.integers(0, 5)), draw(polls)


@given(stream=streams())
def test_a_rows_past_is_its_units_last_rows_however_they_are_cut_into_polls(
    stream: tuple[int, list[list[int]]],
) -> None:
    n_kept, polls = stream
    live = trails(n_kept)
    series: dict[int, list[int]] = {0: [], 1: [], 2: []}
    n_seen = 0
    for rows in polls:
        poll = extend(live, sorted(rows), n_seen)
        for n, row in enumerate(sorted(rows)):
            series[row].append(n_seen + n)
            assert past(poll, n) == series[row][-n_kept - 1 :]
        n_seen += len(rows)


def test_a_forgotten_unit_starts_without_a_past_and_the_others_keep_theirs() -> None:
    live = trails(n_kept=2)
    extend(live, [0, 0, 1], first=0)

    live.forget(np.array([0]))

    poll = extend(live, [0, 0, 1], first=10)
    assert [past(poll, n) for n in range(3)] == [[10], [10, 11], [2, 12]]


def test_a_row_that_never_had_a_unit_may_be_forgotten() -> None:
    live = trails(n_kept=2)
    live.forget(np.array([7]))  # raises nothing

    assert past(extend(live, [0]), 0) == [0]


def test_units_keep_their_past_while_rows_are_added() -> None:
    live = trails(n_kept=1)
    for row in range(20):
        extend(live, [row], first=row, n_rows=row + 1)

    poll = extend(live, list(range(20)), first=100, n_rows=20)

    assert [past(poll, n) for n in range(20)] == [[n, 100 + n] for n in range(20)]


def test_no_rows_change_nothing() -> None:
    live = trails(n_kept=2)
    extend(live, [0])

    poll = extend(live, [])

    assert [len(flat) for flat in poll.flats] == [0, 0]
    assert len(poll.position_N) == len(poll.n_before_N) == 0
    assert past(extend(live, [0], first=5), 0) == [0, 5]


def test_what_is_kept_does_not_change_when_the_polls_arrays_do() -> None:
    live = trails(n_kept=2)
    number_N: IntArray = np.array([1, 2])
    columns_NC: FloatArray = np.zeros((2, 2), np.float32)
    poll = live.extend(np.zeros(2, np.int64), 1, columns_NC, number_N)

    number_N[:] = 99
    poll.flats[1][:] = 99

    assert past(extend(live, [0], first=3), 0) == [1, 2, 3]


@pytest.mark.parametrize("n_kept", [0, 1, 4095])
def test_a_unit_takes_the_memory_it_is_said_to(n_kept: int) -> None:
    live = trails(n_kept)

    # 2 float32 and an int64 in each kept row, and how many are kept.
    assert live.bytes_per_unit == n_kept * (2 * 4 + 8) + 4


def test_growing_by_one_unit_at_a_time_copies_what_is_there_rarely() -> None:
    n_units, n_copies = 0, 0
    for n_rows in range(1, 10_001):
        n_new = n_to_add(n_units, n_rows)
        n_units += n_new
        n_copies += n_new > 0

    assert 10_000 <= n_units <= 10_320
    assert n_copies < 250


def test_an_array_is_extended_by_rows_that_hold_the_fill() -> None:
    longer = extended(np.ones((1, 2), np.float32), 2, -np.inf)

    assert longer.tolist() == [[1.0, 1.0], [-np.inf] * 2, [-np.inf] * 2]
    assert longer.dtype == np.float32
