"""Units of which nothing is seen any more."""

from collections.abc import Callable

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.detector.detector import Detector
from pipeline.drift import observed
from pipeline.drift.silent import Silent
from pipeline.records import Message
from pipeline.settings import DriftSettings
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from tests import builders
from tests.support import wait_until
from tests.workers import Setup

HOUR_S = 3_600.0
KNOWN = np.array([1e9, 1e9])
STEADY = np.array([60.0, 60.0], dtype=np.float32)
BOTH, FIRST = np.array([0, 1]), np.array([0])


def test_a_unit_is_silent_once_nothing_of_it_was_taken_for_so_long() -> None:
    silent = Silent(HOUR_S)
    silent.extend(BOTH, 1e6)
    silent.extend(FIRST, 1e6 + HOUR_S)

    assert silent.look(KNOWN, STEADY, 1e6 + HOUR_S).rows.tolist() == []
    assert silent.look(KNOWN, STEADY, 1e6 + HOUR_S + 1).rows.tolist() == [1]
    assert silent.seen_s_ago(1, 1e6 + HOUR_S + 1) == pytest.approx(HOUR_S + 1)


def test_it_is_newly_silent_once_and_again_after_it_was_back() -> None:
    silent = Silent(HOUR_S)
    silent.extend(BOTH, 0.0)
    newly = []
    for hour in range(1, 6):
        silent.extend(BOTH if hour == 3 else FIRST, hour * HOUR_S)
        newly.append(silent.look(KNOWN, STEADY, hour * HOUR_S + 1).newly.tolist())

    assert newly == [[1], [], [], [1], []]


def test_a_unit_that_sends_once_a_day_is_not_silent_after_an_hour() -> None:
    silent = Silent(HOUR_S)
    silent.extend(BOTH, 0.0)
    usual_s_U = np.array([60.0, 86_400.0], dtype=np.float32)

    assert silent.look(KNOWN, usual_s_U, 2 * HOUR_S).rows.tolist() == [0]
    assert silent.look(KNOWN, usual_s_U, 6 * 86_400.0).rows.tolist() == [0, 1]


def test_a_unit_whose_usual_step_is_not_known_yet_is_silent_all_the_same() -> None:
    silent = Silent(HOUR_S)
    silent.extend(BOTH, 0.0)

    assert silent.look(KNOWN, np.full(2, np.nan), 2 * HOUR_S).rows.tolist() == [0, 1]


def test_a_unit_of_which_nothing_is_kept_is_none() -> None:
    silent = Silent(HOUR_S)
    silent.extend(BOTH, 0.0)

    assert silent.look(np.array([1e9, np.nan]), STEADY, 2 * HOUR_S).rows.tolist() == [0]


def test_the_second_is_told_after_months_of_running_on_a_machine_that_is_up_for_years() -> (
    None
):
    silent = Silent(HOUR_S)
    up_s, months_s = 1e8, 1e7
    silent.extend(BOTH, up_s)
    silent.extend(BOTH, up_s + months_s)

    at_s = up_s + months_s + HOUR_S
    assert silent.look(KNOWN, STEADY, at_s - 2).rows.tolist() == []
    assert silent.look(KNOWN, STEADY, at_s + 2).rows.tolist() == [0, 1]


def gone(unit: str) -> list[Message]:
    return []


def with_times_that_are_late(unit: str) -> list[Message]:
    return readings(unit, 1e9 - 1_000.0)


def readings(unit: str, begin_s: float, n_readings: int = 20) -> list[Message]:
    """A hundredth of a second apart."""
    return [
        Message(
            "readings",
            builders.reading_json(
                unit, begin_s + i / 100, dict(zip(builders.SENSORS, row, strict=True))
            ),
            unit.encode(),
        )
        for i, row in enumerate(builders.sensor_series(n_readings).tolist())
    ]


@pytest.mark.parametrize("what_comes", [gone, with_times_that_are_late])
def test_one_silent_unit_among_others_is_counted_and_named(
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    what_comes: Callable[[str], list[Message]],
) -> None:
    monkeypatch.setattr(observed, "LOOK_EVERY_S", 0.0)
    broker = MemoryBroker(n_partitions=2)
    producer = MemoryProducer(broker)
    setup = Setup(broker, detector, drift=DriftSettings(silent_after_s=0.5))
    producer.send(readings("pump-0", 1e9) + readings("pump-1", 1e9))
    setup.read_all()
    assert setup.metric("pipeline_units_silent") == 0
    begin_s = 1e9

    def one_is_silent() -> bool:
        nonlocal begin_s
        begin_s += 1.0
        producer.send(readings("pump-0", begin_s) + what_comes("pump-1"))
        setup.read_all()
        return setup.metric("pipeline_units_silent") == 1

    with capture_logs() as lines:
        wait_until(one_is_silent, "the other unit is silent")
    named = [line["unit"] for line in lines if line["event"] == "unit_silent"]
    assert named == ["pump-1"]

    producer.send(readings("pump-1", begin_s))
    setup.read_all()
    assert setup.metric("pipeline_units_silent") == 0
