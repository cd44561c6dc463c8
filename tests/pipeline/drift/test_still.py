"""How long a sensor has shown one value, told poll by poll as of a whole series."""

from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift.still import LONGEST, StillRuns
from pipeline.records import FloatArray
from pipeline.units import Units
from pipeline.window import SlidingWindows
from tests import builders


class Sensors:
    """The runs of units whose readings come poll by poll."""

    def __init__(self, length: int = 4, n_sensors: int = 1) -> None:
        self.runs = StillRuns(n_sensors)
        self.windows = SlidingWindows(length, n_sensors, idle_s=1_000.0)
        self.units = Units(100)
        self.now_s = 0.0

    def read(
        self, values: list[float] | FloatArray, units: list[str] | None = None
    ) -> None:
        values_NF = np.array(values, dtype=np.float32)
        values_NF = values_NF.reshape(len(values_NF), -1)
        names = units or ["pump-7"] * len(values_NF)
        time_s_N = self.now_s + np.arange(len(names))
        self.now_s += len(names)
        polled = builders.readings(names, time_s_N.tolist(), values_NF)
        readings, row_N, _ = self.units.admit(polled, builders.polled())
        for windows in self.windows.extend(readings, row_N, self.units.n_rows):
            self.runs.extend(windows)

    def of(self, unit: str = "pump-7") -> list[int]:
        partition = builders.readings(["any"]).partitions[0]
        (run_F,) = self.runs.of(np.array([self.units.row(partition, unit)]))
        return [int(run) for run in run_F]


def run_at_the_end(values: list[float]) -> int:
    n = 0
    for before, after in pairwise(values):
        n = n + 1 if before == after else 0
    return n


values_that_repeat = st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=1, max_size=12)


@given(
    polls=st.lists(
        st.tuples(values_that_repeat, values_that_repeat), min_size=1, max_size=6
    ),
    length=st.sampled_from([2, 4]),
)
def test_a_run_is_that_of_the_whole_series(
    polls: list[tuple[list[float], list[float]]], length: int
) -> None:
    sensors = Sensors(length)
    for first, second in polls:
        names = ["pump-7"] * len(first) + ["pump-8"] * len(second)
        sensors.read(first + second, names)

    firsts, seconds = zip(*polls, strict=True)
    assert sensors.of("pump-7") == [run_at_the_end(list(chain(*firsts)))]
    assert sensors.of("pump-8") == [run_at_the_end(list(chain(*seconds)))]


def test_each_sensor_has_a_run_of_its_own() -> None:
    sensors = Sensors(n_sensors=2)

    sensors.read(np.array([[1, 5], [1, 6], [1, 6]], dtype=np.float32))

    assert sensors.of() == [2, 1]


def test_runs_are_longer_than_windows() -> None:
    sensors = Sensors()
    for _ in range(100):
        sensors.read([7.0])

    assert sensors.of() == [99]


def test_a_run_has_an_end() -> None:
    sensors = Sensors()
    for _ in range(3):
        sensors.read([7.0] * 30_000)

    assert sensors.of() == [LONGEST]


def test_the_next_unit_in_a_row_has_no_run() -> None:
    sensors = Sensors()
    sensors.read([7.0] * 20)
    rows = sensors.units.forget([builders.readings(["any"]).partitions[0]])
    sensors.windows.forget(rows)

    sensors.read([7.0], ["valve-1"])

    assert sensors.of("valve-1") == [0]


@pytest.mark.parametrize("silence_s", [1.0, 2_000.0])
def test_a_run_goes_on_unless_its_unit_starts_anew(silence_s: float) -> None:
    sensors = Sensors()
    sensors.read([7.0] * 20)

    sensors.now_s += silence_s
    sensors.read([7.0])

    assert sensors.of() == ([20] if silence_s < 1_000 else [0])
