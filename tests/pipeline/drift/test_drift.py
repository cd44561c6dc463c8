"""What is shown of readings that are as in training, and of readings that are not."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.records import FloatArray
from tests import builders
from tests.pipeline.drift.watching import (
    N_LEARNED,
    Watch,
    calibration_scores,
    knowing_detector,
)

PRESSURE, TEMPERATURE, VIBRATION = range(3)


def series(seed: int = 0) -> FloatArray:
    return builders.sensor_series(N_LEARNED, seed)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(knowing_detector(tmp_path / "pumps", series()))


def read(watch: Watch, values_NF: FloatArray) -> None:
    for begin in range(0, len(values_NF), 500):
        watch.extend(values_NF[begin : begin + 500])


def test_of_readings_as_in_training_nothing_is_far(watch: Watch) -> None:
    read(watch, series(seed=1))

    assert max(watch.of_sensors("psi")) < 0.05
    assert max(watch.of_sensors("out_of_range_ratio")) < 0.01
    assert watch.of_sensors("missing_ratio") == [0, 0, 0]
    assert watch.of_sensors("stuck_ratio") == [0, 0, 0]
    assert watch.shown("score_psi") < 0.05
    assert set(watch.drifting().values()) == {0}


def test_a_sensor_that_shifted_is_far_and_the_others_are_not(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[:, TEMPERATURE] += values_NF[:, TEMPERATURE].std()

    read(watch, values_NF)

    pressure, temperature, vibration = watch.of_sensors("psi")
    assert temperature > 0.5
    assert max(pressure, vibration) < 0.05
    assert watch.drifting()["psi"] == 1


def test_values_beyond_those_of_training_are_out_of_range(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[::4, PRESSURE] = 1e6

    read(watch, values_NF)

    assert watch.of_sensors("out_of_range_ratio") == pytest.approx([0.25, 0, 0], abs=0.01)
    assert watch.drifting()["out_of_range"] == 1


def test_a_dead_sensor_is_missing_and_has_no_distribution(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[:, VIBRATION] = np.nan

    read(watch, values_NF)

    assert watch.of_sensors("missing_ratio") == [0, 0, 1]
    assert watch.drifting()["missing"] == 1
    assert np.isnan(watch.of_sensors("psi")).tolist() == [False, False, True]
    assert np.isnan(watch.of_sensors("out_of_range_ratio")).tolist() == [False, False, True]


def test_what_was_missing_in_training_too_is_usual(tmp_path: Path) -> None:
    values_NF = series()
    values_NF[::2, VIBRATION] = np.nan
    watch = Watch(knowing_detector(tmp_path / "pumps", values_NF))

    read(watch, values_NF)

    assert watch.of_sensors("missing_ratio") == pytest.approx([0, 0, 0.5], abs=0.02)
    assert watch.drifting()["missing"] == 0


def test_a_sensor_that_stands_still_is_stuck(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[2_000:, PRESSURE] = values_NF[2_000, PRESSURE]

    read(watch, values_NF)

    assert watch.of_sensors("stuck_ratio") == pytest.approx([0.5, 0, 0], abs=0.02)
    assert watch.drifting()["stuck"] == 1


def test_a_flag_that_stood_still_in_training_is_not_stuck(tmp_path: Path) -> None:
    values_NF = series()
    values_NF[:, PRESSURE] = np.arange(N_LEARNED) // 500 % 2
    watch = Watch(knowing_detector(tmp_path / "pumps", values_NF))

    read(watch, np.roll(values_NF, 300, axis=0))

    assert watch.of_sensors("stuck_ratio") == [0, 0, 0]


def test_scores_that_moved_are_far(watch: Watch) -> None:
    for _ in range(10):
        values_NF = series()[:200]
        watch.extend(values_NF, score_B=2.0 * calibration_scores(200))

    assert watch.shown("score_psi") > 0.25
