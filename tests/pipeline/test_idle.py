"""Units that have gone silent."""

import itertools
import random
from functools import partial
from typing import TypeAlias

import numpy as np
import pytest

from pipeline.detector.detector import Detector
from pipeline.records import Message
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.workers import FAULT, WINDOW, Setup, faulty_series, messages

IDLE_S = 100.0
Waiting = partial(Setup, unit_idle_s=IDLE_S)
"""A worker that does not look for silent units before they return."""
Looking = partial(Waiting, look_for_idle_every_s=0.0)
Scored: TypeAlias = dict[tuple[str, float], list[bytes]]
"""By unit and time."""


def later(
    unit: str, after_s: float, n_readings: int = 20, values_NF: np.ndarray | None = None
) -> list[Message]:
    """Readings that begin so long after those of `messages`, which are a second apart."""
    if values_NF is None:
        values_NF = builders.sensor_series(n_readings)
    return [
        Message(
            "readings",
            builders.reading_json(
                unit, 1e9 + after_s + i, dict(zip(builders.SENSORS, row, strict=True))
            ),
            unit.encode(),
        )
        for i, row in enumerate(values_NF.tolist())
    ]


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(n_partitions=1)


def random_stretches(chance: random.Random) -> dict[str, list[list[Message]]]:
    """Of three units: readings between long silences, with wild ones among them."""
    stretches = {}
    for unit in ("pump-0", "pump-1", "pump-2"):
        values_NF = builders.sensor_series(200).copy()
        for _ in range(20):
            values_NF[chance.randrange(200)] += chance.choice([10.0, 1e4])
        bounds = [0, *sorted(chance.sample(range(1, 200), 8)), 200]
        stretches[unit] = [
            later(unit, begin + 1_000.0 * number, values_NF=values_NF[begin:end])
            for number, (begin, end) in enumerate(itertools.pairwise(bounds))
        ]
    return stretches


def scores(setup: Setup) -> Scored:
    """Of all there is to read, to the last bit."""
    found: Scored = {}
    while (turn := setup.worker.run_once()) is not None:
        for stretch in turn.stretches:
            for b, reading in enumerate(stretch.windows.reading_B.tolist()):
                of = turn.readings.units[reading], float(turn.readings.time_s_N[reading])
                found[of] = [column[b].tobytes() for column in stretch.scores]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_after_a_long_silence_a_unit_scores_as_if_it_were_new(
    detector: Detector, seed: int
) -> None:
    chance = random.Random(seed)
    stretches = random_stretches(chance)
    expected: Scored = {}
    for stretch in (each for of_unit in stretches.values() for each in of_unit):
        alone = MemoryBroker(n_partitions=1)
        alone.append(stretch)
        expected |= scores(Waiting(alone, detector))
    broker = MemoryBroker(n_partitions=1)
    waiting = [
        [m for stretch in each for m in stretch][::-1] for each in stretches.values()
    ]
    while any(waiting):
        of_unit = chance.choice([each for each in waiting if each])
        broker.append(
            [of_unit.pop() for _ in range(min(len(of_unit), chance.randint(1, 30)))]
        )

    found = scores(Waiting(broker, detector, max_records=chance.choice([1, 7, 1_000])))

    assert found == expected


def test_scores_before_a_silence_and_after_it_open_no_incident_together(
    broker: MemoryBroker, detector: Detector
) -> None:
    values_NF = builders.sensor_series(WINDOW).copy()
    values_NF[-1] += 1e4
    broker.append(later("pump", 0.0, values_NF=values_NF))
    broker.append(later("pump", 1_000.0, values_NF=values_NF))

    turn = Waiting(broker, detector).worker.run_once()

    assert turn is not None
    over = [(each.scores.score_B >= 1.0).tolist() for each in turn.stretches]
    assert over == [[True], [True]]
    assert turn.events == []


def test_scores_before_a_silence_and_after_it_close_no_incident_together(
    broker: MemoryBroker, detector: Detector
) -> None:
    whole = MemoryBroker(n_partitions=1)
    whole.append(messages("pump", faulty_series()))
    undisturbed = Setup(whole, detector)
    undisturbed.read_all()
    n_until_closed = undisturbed.alerts()[-1].source.last_offset
    broker.append(messages("pump", faulty_series()[:n_until_closed]))
    setup = Waiting(broker, detector)

    broker.append(later("pump", 10_000.0, n_readings=WINDOW + 3))
    setup.read_all()
    assert setup.metric("pipeline_incidents_open") == 1
    broker.append(later("pump", 10_000.0 + WINDOW + 3, n_readings=1))
    setup.read_all()

    assert setup.metric("pipeline_incidents_open") == 0


def test_a_restart_reads_back_to_a_silence_and_no_further(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump", builders.sensor_series(100)))
    broker.append(later("pump", 1_000.0, n_readings=5))
    first = Waiting(broker, detector)
    first.read_all()
    first.consumer.close(0.0)

    second = Waiting(broker, detector)
    second.read_all()

    assert second.metric("pipeline_readings_replayed_total") == 5


def test_each_silence_is_counted_once(broker: MemoryBroker, detector: Detector) -> None:
    broker.append([*later("pump", 0.0, 3), *later("pump", 1_000.0, 3)])
    broker.append(later("pump", 2_000.0, 3))
    setup = Waiting(broker, detector)

    setup.read_all()

    assert setup.metric("pipeline_units_evicted_total") == 2


def test_a_silent_unit_is_given_up_and_starts_anew(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", builders.sensor_series(20)))
    broker.append(later("busy", 0.0))
    setup = Looking(broker, detector)
    setup.read_all()
    assert setup.metric("pipeline_units") == 2

    broker.append(later("busy", 50.0, n_readings=200))
    setup.read_all()
    assert setup.metric("pipeline_units") == 1
    scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0
    broker.append(later("silent", 250.0, n_readings=WINDOW))
    setup.read_all()

    assert setup.metric("pipeline_windows_scored_total", device="cpu") == scored + 1
    assert setup.metric("pipeline_units_evicted_total") == 1


def test_its_incident_stays_open_and_goes_on_under_its_id(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", faulty_series()[: FAULT.start + 10]))
    setup = Looking(broker, detector)
    setup.read_all()

    broker.append(later("busy", 10_000.0))
    setup.read_all()
    assert setup.metric("pipeline_incidents_open") == 1
    broker.append(later("silent", 10_000.0))
    setup.read_all()

    opened, *_, closed = setup.alerts()
    assert (opened.state, closed.state) == ("opened", "closed")
    assert closed.incident_id == opened.incident_id


def test_a_restart_does_not_read_back_to_a_silent_unit(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", builders.sensor_series(20)))
    broker.append(later("busy", 1_000.0, n_readings=200))
    first = Looking(broker, detector)
    first.read_all()
    first.consumer.close(0.0)

    second = Looking(broker, detector)
    second.read_all()

    assert 0 < (second.metric("pipeline_readings_replayed_total") or 0) < 200
    assert second.metric("pipeline_units") == 1


def test_nor_to_the_beginning_of_its_incident(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", faulty_series()[: FAULT.start + 10]))
    broker.append(later("busy", 10_000.0, n_readings=400))
    first = Looking(broker, detector, max_note_bytes=100)
    first.read_all()
    first.consumer.close(0.0)

    second = Looking(broker, detector, max_note_bytes=100)
    second.read_all()

    assert first.metric("pipeline_incidents_out_of_reach") == 1
    assert 0 < (second.metric("pipeline_readings_replayed_total") or 0) < 400


def test_one_clock_that_is_wrong_makes_nobody_idle(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump", builders.sensor_series(20)))
    broker.append([*later("wrong", 1_000.0, 1), *later("busy", 20.0, n_readings=10)])
    setup = Looking(broker, detector)

    setup.read_all()

    assert setup.metric("pipeline_units_evicted_total") == 0


def test_an_old_stretch_that_is_sent_again_makes_nobody_idle(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(later("new", 10_000.0))
    setup = Looking(broker, detector, max_records=7)
    setup.read_all()

    broker.append(messages("old", builders.sensor_series(100)))
    setup.read_all()

    assert setup.metric("pipeline_units_evicted_total") == 0
    scored = setup.metric("pipeline_windows_scored_total", device="cpu")
    assert scored == (20 - WINDOW + 1) + (100 - WINDOW + 1)
