"""Sensors of which nothing can be learned are left out of the history and its folds."""

import numpy as np
import pytest

from pipeline.errors import InputError
from tests import builders
from trainer.history import History
from trainer.split import Folds, split
from trainer.split_sensors import without_sensors, without_unseen_sensors

N_READINGS = 1_000


def folds_of(history: History) -> Folds:
    return split(history, length=8, stride=1, n_folds=4, held_out_fraction=0.25)


def with_values(n_values: int, n_sensors: int = 3, n_readings: int = N_READINGS) -> History:
    """History whose last sensor has so many values."""
    values_NF = builders.sensor_series(n_readings, n_sensors=n_sensors)
    values_NF[n_values:, -1] = np.nan
    return builders.history(values_NF)


@pytest.mark.parametrize(
    ("n_values", "is_kept"), [(0, False), (9, False), (10, True), (600, True)]
)
def test_a_sensor_with_next_to_no_values_is_left_out(n_values: int, is_kept: bool) -> None:
    history = with_values(n_values)

    kept, folds = without_unseen_sensors(history, folds_of(history))

    assert kept.sensors == history.sensors[: 3 if is_kept else 2]
    assert kept.values_NF.shape == (N_READINGS, len(kept.sensors))
    for fold in folds.folds:
        for windows in (fold.training, fold.held_out.windows):
            np.testing.assert_array_equal(windows.flat_MF, kept.values_NF)
    assert any(line.endswith(": sensor-2") for line in kept.notes) != is_kept


@pytest.mark.parametrize(("n_values", "is_kept"), [(100, True), (99, False)])
def test_of_a_long_history_less_than_one_in_a_hundred_is_next_to_nothing(
    n_values: int, is_kept: bool
) -> None:
    history = with_values(n_values, n_sensors=2, n_readings=10_000)

    kept, _ = without_unseen_sensors(history, folds_of(history))

    assert ("sensor-1" in kept.sensors) == is_kept


def test_values_of_rows_that_are_not_used_do_not_count() -> None:
    values_NF = builders.sensor_series(N_READINGS)
    values_NF[50:, 2] = np.nan
    history = builders.history(values_NF, labelled=range(50))

    kept, _ = without_unseen_sensors(history, folds_of(history))

    assert kept.sensors == ("sensor-0", "sensor-1")


def test_history_of_sensors_without_values_is_refused() -> None:
    history = with_values(0, n_sensors=1)

    with pytest.raises(InputError, match="every sensor has fewer than 10 values") as raised:
        without_unseen_sensors(history, folds_of(history))
    assert "\n" not in str(raised.value)


def test_windows_are_the_same_without_a_sensor() -> None:
    history = with_values(600)
    before = folds_of(history)

    kept, after = without_sensors(history, before, np.array([True, False, False]), "dull")

    assert kept.notes == ["sensors left out, dull: sensor-0"]
    for old, new in zip(before.folds, after.folds, strict=True):
        np.testing.assert_array_equal(
            old.held_out.windows.gather(slice(None))[:, :, 1:],
            new.held_out.windows.gather(slice(None)),
        )
        np.testing.assert_array_equal(
            old.training.gather(slice(None))[:, :, 1:], new.training.gather(slice(None))
        )
    assert history.notes == []
