"""History to windows: three parts, apart in time."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.records import FloatArray
from pipeline.window import Windows
from tests import builders
from trainer.history import History
from trainer.split import Parts, split, without_unseen_sensors

LENGTH = 8


def counting(n_of_unit: list[int], labelled: list[int] | None = None) -> History:
    """History whose only sensor counts its readings."""
    values_NF: FloatArray = np.arange(sum(n_of_unit), dtype=np.float32)[:, None]
    return builders.history(values_NF, n_of_unit, labelled or [])


def parts_of(
    history: History,
    length: int = LENGTH,
    stride: int = 1,
    validation: float = 0.2,
    calibration: float = 0.2,
) -> Parts:
    return split(history, length, stride, validation, calibration)


def positions(windows: Windows) -> list[list[int]]:
    """The readings of each window."""
    windows_BT: FloatArray = windows.gather(slice(None))[:, :, 0]
    return [window_T.astype(int).tolist() for window_T in windows_BT]


@st.composite
def splits(draw: st.DrawFn) -> tuple[History, Parts, int]:
    """A history of up to three units that is long enough, split, and T."""
    length = draw(st.integers(2, 9))
    n_of_unit = draw(st.lists(st.integers(1, 300), min_size=1, max_size=3))
    n_readings = sum(n_of_unit)
    labelled = draw(st.lists(st.integers(0, n_readings - 1), max_size=3))
    history = counting(n_of_unit, labelled)
    fractions = st.sampled_from([0.1, 0.25, 0.4])
    try:
        parts = parts_of(
            history, length, draw(st.integers(1, 3)), draw(fractions), draw(fractions)
        )
    except InputError:
        assume(False)
    return history, parts, length


@given(splits())
def test_parts_are_in_order_with_a_gap_of_a_window_between(
    drawn: tuple[History, Parts, int],
) -> None:
    history, parts, length = drawn
    unit_N = np.repeat(np.arange(len(history.units)), np.diff(history.begin_U))
    in_order = [positions(p) for p in (parts.training, parts.validation, parts.calibration)]

    for unit in range(len(history.units)):
        ends = [
            (min(part_of_unit)[0], max(part_of_unit)[-1])
            for part in in_order
            if (part_of_unit := [w for w in part if unit_N[w[0]] == unit])
        ]
        for (_, last), (first, _) in itertools.pairwise(ends):
            assert first - last > length


@given(splits())
def test_a_window_is_of_one_unit_without_a_gap_or_a_label(
    drawn: tuple[History, Parts, int],
) -> None:
    history, parts, length = drawn
    unit_N = np.repeat(np.arange(len(history.units)), np.diff(history.begin_U))

    for part in (parts.training, parts.validation, parts.calibration):
        for window in positions(part):
            assert window == list(range(window[0], window[0] + length))
            assert len(set(unit_N[window])) == 1
            assert not history.label_N[window].any()


@given(splits())
def test_the_scaler_is_fitted_on_readings_that_no_later_part_sees(
    drawn: tuple[History, Parts, int],
) -> None:
    history, parts, _ = drawn
    training = set(np.flatnonzero(parts.training_N).tolist())

    for part in (parts.validation, parts.calibration):
        assert training.isdisjoint(n for window in positions(part) for n in window)
    assert training.issuperset(n for window in positions(parts.training) for n in window)
    assert not history.label_N[list(training)].any()


@given(splits())
def test_calibration_windows_know_their_unit(drawn: tuple[History, Parts, int]) -> None:
    history, parts, _ = drawn
    unit_N = np.repeat(np.arange(len(history.units)), np.diff(history.begin_U))

    firsts = [window[0] for window in positions(parts.calibration)]
    assert unit_N[firsts].tolist() == parts.calibration_unit_B.tolist()
    assert firsts == sorted(firsts)


def test_calibration_windows_end_at_every_reading_and_others_keep_the_stride() -> None:
    parts = parts_of(counting([1_000]), stride=5)

    assert np.diff(parts.training.start_B).tolist() == [5] * (len(parts.training) - 1)
    assert np.diff(parts.validation.start_B).tolist() == [5] * (len(parts.validation) - 1)
    assert np.diff(parts.calibration.start_B).tolist() == [1] * (len(parts.calibration) - 1)
    assert positions(parts.calibration)[-1][-1] == 999


@given(splits())
def test_every_reading_is_used_or_left_out_for_one_reason(
    drawn: tuple[History, Parts, int],
) -> None:
    history, parts, _ = drawn

    in_windows = [
        positions(p) for p in (parts.training, parts.validation, parts.calibration)
    ]
    n_used = len({n for part in in_windows for window in part for n in window})
    assert n_used + sum(parts.n_left_out.values()) == len(history)


def test_what_is_left_out_is_counted_by_reason() -> None:
    # Labelled: readings 3 and 4, one in the gap before the validation part, one of the
    # unit that is too short. The three before the first fill no window.
    n_training = 1_000 - 2 * LENGTH - 2 * int(0.2 * (1_000 - 2 * LENGTH))
    parts = parts_of(counting([1_000, 5], labelled=[3, 4, n_training, 1_000]))

    assert parts.n_left_out == {
        "labelled as anomalous": 4,
        "unit too short": 4,
        "gap between parts": 2 * LENGTH - 1,
        "in no whole window": 3,
    }


@given(splits())
def test_calibration_windows_know_the_time_of_their_newest_reading(
    drawn: tuple[History, Parts, int],
) -> None:
    history, parts, _ = drawn

    newest = [window[-1] for window in positions(parts.calibration)]
    assert parts.calibration_time_s_B.tolist() == history.time_s_N[newest].tolist()


def test_parts_have_the_shares_that_were_asked_for() -> None:
    n_usable = 1_000 - 2 * LENGTH

    n_windows = parts_of(counting([1_000])).n_windows()

    assert n_windows["validation"] == int(0.2 * n_usable) - LENGTH + 1
    assert n_windows["calibration"] == int(0.2 * n_usable) - LENGTH + 1
    assert sum(n_windows.values()) == n_usable - 3 * (LENGTH - 1)


@pytest.mark.parametrize("n_readings", [1, 5, 40, 70])
@pytest.mark.parametrize("stride", [1, 10])
def test_history_too_short_says_how_many_rows_would_do(
    n_readings: int, stride: int
) -> None:
    with pytest.raises(InputError, match="the history is too short") as raised:
        parts_of(counting([n_readings]), stride=stride)

    needed = re.search(r"needs about (\d+) rows; the longest has (\d+)", str(raised.value))
    assert needed is not None
    assert int(needed[2]) == n_readings
    parts_of(counting([int(needed[1])]), stride=stride)  # raises nothing


def test_history_that_is_all_labelled_is_too_short() -> None:
    with pytest.raises(InputError, match="training part holds 0 windows without a label"):
        parts_of(counting([500], labelled=list(range(500))))


def with_values(n_values: int, n_sensors: int = 3) -> History:
    """History whose last sensor has so many values in the training part, and all later."""
    values_NF = builders.sensor_series(1_000, n_sensors=n_sensors)
    parts = parts_of(builders.history(values_NF))
    values_NF[np.flatnonzero(parts.training_N)[n_values:], -1] = np.nan
    return builders.history(values_NF)


@pytest.mark.parametrize(
    ("n_values", "is_kept"), [(0, False), (9, False), (10, True), (600, True)]
)
def test_a_sensor_with_next_to_no_values_in_the_training_part_is_left_out(
    n_values: int, is_kept: bool
) -> None:
    history = with_values(n_values)

    kept, parts = without_unseen_sensors(history, parts_of(history))

    assert kept.sensors == history.sensors[: 3 if is_kept else 2]
    for part in (parts.training, parts.validation, parts.calibration):
        np.testing.assert_array_equal(part.flat_MF, kept.values_NF)
    assert kept.values_NF.shape == (1_000, len(kept.sensors))
    assert any(line.endswith(": sensor-2") for line in kept.notes) != is_kept


@pytest.mark.parametrize(("share", "is_kept"), [(0.011, True), (0.009, False)])
def test_of_a_long_history_less_than_one_in_a_hundred_is_next_to_nothing(
    share: float, is_kept: bool
) -> None:
    history = builders.history(builders.sensor_series(10_000, n_sensors=2))
    n_training = int(parts_of(history).training_N.sum())
    history.values_NF[: int((1 - share) * n_training), 1] = np.nan

    kept, _ = without_unseen_sensors(history, parts_of(history))

    assert ("sensor-1" in kept.sensors) == is_kept


def test_history_of_sensors_that_begin_after_the_training_part_is_refused() -> None:
    history = with_values(0, n_sensors=1)

    with pytest.raises(InputError, match="every sensor has fewer than 10 values") as raised:
        without_unseen_sensors(history, parts_of(history))
    assert "\n" not in str(raised.value)
