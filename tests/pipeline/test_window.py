"""Sliding windows: the same live, however readings arrive, as cut from history."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FloatArray
from pipeline.window import LiveWindows, SlidingWindows, cut_windows
from tests.builders import readings

LENGTH = 4


def extend(live: SlidingWindows, rows: list[int], times_s: list[float]) -> LiveWindows:
    """One poll; the only sensor shows the time, and so does the offset, times ten."""
    [windows] = stretches(live, rows, times_s)
    return windows


def stretches(
    live: SlidingWindows, rows: list[int], times_s: list[float]
) -> list[LiveWindows]:
    return live.extend(
        readings(
            [f"unit-{row}" for row in rows],
            time_s_N=times_s,
            values_NF=np.array(times_s, np.float32)[:, None],
            offset_N=[int(10 * time_s) for time_s in times_s],
        ),
        np.array(rows, dtype=np.int64),
        n_rows=max(rows, default=-1) + 1,
    )


def gathered(live: LiveWindows) -> list[list[float]]:
    """Each window's values, of its only sensor."""
    windows_BT: FloatArray = live.windows.gather(slice(None))[:, :, 0]
    return [window_T.tolist() for window_T in windows_BT]


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """A window length, and polls of readings that each belong to one of three units."""
    polls = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=8)
    return draw(st.integers(1, 5)), draw(polls)


@given(stream=streams())
def test_live_windows_equal_those_cut_from_each_units_history(
    stream: tuple[int, list[list[int]]],
) -> None:
    length, polls = stream
    live = SlidingWindows(length, n_sensors=2)
    series: dict[int, list[list[float]]] = {0: [], 1: [], 2: []}
    emitted: dict[int, list[FloatArray]] = {0: [], 1: [], 2: []}
    n_seen = 0
    for rows in polls:
        values_NF = np.array([[n_seen + i, row] for i, row in enumerate(rows)])
        values_NF = values_NF.reshape(len(rows), 2).astype(np.float32)
        times_s = [float(n_seen + i) for i in range(len(rows))]
        arrived = readings([f"unit-{r}" for r in rows], times_s, values_NF)
        [windows] = live.extend(arrived, np.array(rows, np.int64), n_rows=3)
        for row, window_TF in zip(
            windows.row_B.tolist(), windows.windows.gather(slice(None)), strict=True
        ):
            emitted[row].append(window_TF)
        for row, value_F in zip(rows, values_NF.tolist(), strict=True):
            series[row].append(value_F)
        n_seen += len(rows)

    for row, values in series.items():
        history_NF = np.array(values, np.float32).reshape(-1, 2)
        trained_on_BTF = cut_windows(history_NF, length).gather(slice(None))
        live_BTF = np.array(emitted[row]).reshape(-1, length, 2)
        np.testing.assert_array_equal(live_BTF, trained_on_BTF)


def test_the_first_window_comes_with_the_reading_that_fills_it() -> None:
    live = SlidingWindows(LENGTH, n_sensors=1)

    assert gathered(extend(live, [0, 0, 0], [1, 2, 3])) == []
    assert gathered(extend(live, [0], [4])) == [[1, 2, 3, 4]]


def test_a_window_of_one_reading_is_that_reading() -> None:
    live = SlidingWindows(length=1, n_sensors=1)

    windows = extend(live, [0, 1], [7, 8])

    assert gathered(windows) == [[7], [8]]
    assert windows.first_offset_B.tolist() == [70, 80]


def test_windows_are_grouped_by_unit_and_name_their_newest_reading() -> None:
    live = SlidingWindows(length=2, n_sensors=1)

    windows = extend(live, [1, 0, 1, 0, 1], [1, 2, 3, 4, 5])

    assert windows.row_B.tolist() == [0, 1, 1]
    assert windows.reading_B.tolist() == [3, 2, 4]
    assert gathered(windows) == [[2, 4], [1, 3], [3, 5]]


def test_a_window_knows_the_offset_of_its_oldest_reading_across_polls() -> None:
    live = SlidingWindows(LENGTH, n_sensors=1)
    extend(live, [0, 1, 0], [1, 2, 3])

    windows = extend(live, [0, 0, 0], [4, 5, 6])

    assert windows.first_offset_B.tolist() == [10, 30]


@pytest.mark.parametrize("polls", [[[1, 2, 5, 4, 3, 6]], [[1, 2, 5], [4, 3, 6]]])
def test_a_reading_older_than_its_units_newest_is_counted_and_left_out(
    polls: list[list[float]],
) -> None:
    live = SlidingWindows(LENGTH, n_sensors=1)

    emitted = [extend(live, [0] * len(times_s), times_s) for times_s in polls]

    assert sum(windows.n_late for windows in emitted) == 2
    assert [w for windows in emitted for w in gathered(windows)] == [[1, 2, 5, 6]]
    assert emitted[-1].first_offset_B.tolist() == [10]


def test_equal_times_are_not_late() -> None:
    windows = extend(SlidingWindows(LENGTH, n_sensors=1), [0] * 4, [5, 5, 5, 5])

    assert windows.n_late == 0
    assert gathered(windows) == [[5, 5, 5, 5]]


def test_a_unit_is_late_by_its_own_clock_alone() -> None:
    live = SlidingWindows(length=1, n_sensors=1)

    assert extend(live, [0, 1, 0, 1], [100, 1, 101, 2]).n_late == 0


@given(
    polls=st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), max_size=8), max_size=6
    )
)
def test_what_is_left_out_does_not_depend_on_how_readings_are_cut_into_polls(
    polls: list[list[tuple[int, int]]],
) -> None:
    in_polls, at_once = SlidingWindows(2, 1), SlidingWindows(2, 1)
    flat = [reading for poll in polls for reading in poll]

    emitted = [extend(in_polls, [r for r, _ in p], [t for _, t in p]) for p in polls]
    whole = extend(at_once, [r for r, _ in flat], [t for _, t in flat])

    assert sum(windows.n_late for windows in emitted) == whole.n_late
    for row in (0, 1):
        of_row = [
            window
            for windows in emitted
            for at, window in zip(windows.row_B, gathered(windows), strict=True)
            if at == row
        ]
        assert of_row == np.array(gathered(whole))[whole.row_B == row].tolist()


IDLE_S = 10.0


def test_the_first_window_after_a_long_silence_has_nothing_of_before() -> None:
    live = SlidingWindows(length=2, n_sensors=1, idle_s=IDLE_S)

    before, after = stretches(live, [0, 0, 0, 0], [1, 2, 13, 14])

    assert (gathered(before), before.anew.tolist()) == ([[1, 2]], [])
    assert (gathered(after), after.anew.tolist()) == ([[13, 14]], [0])
    assert after.arrived.first_offset_G.tolist() == [130]


def test_a_silence_of_just_so_long_is_none() -> None:
    live = SlidingWindows(length=2, n_sensors=1, idle_s=IDLE_S)

    assert gathered(extend(live, [0, 0, 0], [1, 2, 12])) == [[1, 2], [2, 12]]


def test_units_that_return_with_one_poll_are_dealt_with_at_once() -> None:
    live = SlidingWindows(length=1, n_sensors=1, idle_s=IDLE_S)
    extend(live, [0, 1, 2], [1, 1, 18])

    [windows] = stretches(live, [0, 1, 2, 3], [20, 20, 20, 20])

    assert windows.anew.tolist() == [0, 1]


def test_a_unit_that_is_new_has_not_been_silent() -> None:
    live = SlidingWindows(length=1, n_sensors=1, idle_s=IDLE_S)
    extend(live, [0, 1], [1, 1])
    live.forget(np.array([1]))

    assert extend(live, [1, 2], [100, 100]).anew.tolist() == []


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([-30, -11, -1, 0, 1, 10, 11, 40])),
        max_size=25,
    ),
    cuts=st.lists(st.integers(0, 25), max_size=5),
)
def test_where_a_unit_starts_anew_is_a_function_of_its_readings_alone(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    clock = [100, 100]
    sent = []
    for row, step in steps:
        clock[row] += step
        sent.append((row, clock[row]))
    expected: list[tuple[int, list[float]]] = []
    held: dict[int, list[float]] = {}
    for row, time_s in sent:
        series = held.setdefault(row, [])
        if series and time_s < series[-1]:
            continue
        if series and time_s - series[-1] > IDLE_S:
            series.clear()
        series.append(time_s)
        if len(series) >= 3:
            expected.append((row, series[-3:]))
    live = SlidingWindows(length=3, n_sensors=1, idle_s=IDLE_S)

    found: list[tuple[int, list[float]]] = []
    bounds = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    for begin, end in pairwise(bounds):
        poll = sent[begin:end]
        for windows in stretches(live, [r for r, _ in poll], [t for _, t in poll]):
            found += zip(windows.row_B.tolist(), gathered(windows), strict=True)

    for row in (0, 1):
        assert [w for r, w in found if r == row] == [w for r, w in expected if r == row]


def test_a_poll_of_late_readings_alone_yields_nothing_and_changes_nothing() -> None:
    live = SlidingWindows(length=2, n_sensors=1)
    extend(live, [0], [5])

    late = extend(live, [0, 0], [1, 2])

    assert (len(late), late.n_late) == (0, 2)
    assert gathered(extend(live, [0], [6])) == [[5, 6]]


def test_a_forgotten_unit_starts_cold_and_in_any_order_of_time() -> None:
    live = SlidingWindows(length=2, n_sensors=1)
    extend(live, [0, 1], [100, 100])

    live.forget(np.array([0]))

    windows = extend(live, [0, 1], [50, 101])
    assert windows.n_late == 0
    assert gathered(windows) == [[100, 101]]
    assert gathered(extend(live, [0], [51])) == [[50, 51]]


def test_a_row_that_never_had_a_reading_may_be_forgotten() -> None:
    SlidingWindows(length=2, n_sensors=1).forget(np.array([3]))  # raises nothing


def test_units_keep_their_readings_while_rows_are_added() -> None:
    live = SlidingWindows(length=2, n_sensors=1)
    for row in range(20):
        extend(live, [row], [row])

    windows = extend(live, list(range(20)), [100 + row for row in range(20)])

    assert gathered(windows) == [[row, 100 + row] for row in range(20)]


def test_no_readings_complete_no_window() -> None:
    windows = extend(SlidingWindows(LENGTH, n_sensors=1), [], [])

    assert len(windows) == 0
    assert windows.windows.gather(slice(None)).shape == (0, LENGTH, 1)


def test_cut_windows_leave_out_readings_at_the_end_that_fill_none() -> None:
    values_NF = np.arange(8, dtype=np.float32)[:, None]

    windows = cut_windows(values_NF, length=4, stride=3)

    assert windows.gather(slice(None))[:, :, 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert windows.gather(np.array([1]))[:, :, 0].tolist() == [[3, 4, 5, 6]]


def test_history_shorter_than_a_window_has_none() -> None:
    windows = cut_windows(np.zeros((3, 2), np.float32), length=4)

    assert windows.gather(slice(None)).shape == (0, 4, 2)


def test_gathered_windows_are_copies() -> None:
    values_NF = np.zeros((5, 1), np.float32)

    cut_windows(values_NF, length=2).gather(slice(None))[:] = 1.0

    assert not values_NF.any()


@given(first=st.integers(0, 2**62), steps=st.lists(st.integers(1, 2**30), max_size=6))
def test_a_windows_oldest_offset_is_known_however_large_it_is(
    first: int, steps: list[int]
) -> None:
    live = SlidingWindows(length=3, n_sensors=1)
    offsets = np.cumsum([first, *steps]).tolist()
    found = []
    for offset in offsets:
        arrived = readings(["unit-0"], [0.0], offset_N=[offset])
        [windows] = live.extend(arrived, np.array([0]), n_rows=1)
        found += windows.first_offset_B.tolist()

    assert found == offsets[: max(len(offsets) - 2, 0)]


def test_of_a_log_that_began_anew_no_offset_is_negative() -> None:
    live = SlidingWindows(length=2, n_sensors=1)
    for offset in (1_000, 5):
        arrived = readings(["unit-0"], [0.0], offset_N=[offset])
        [windows] = live.extend(arrived, np.array([0]), n_rows=1)

    assert (windows.first_offset_B >= 0).all()
