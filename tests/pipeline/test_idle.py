"""Units that have gone silent."""

import pytest

from pipeline import worker
from pipeline.detector.detector import Detector
from pipeline.records import Message
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.workers import FAULT, WINDOW, Setup, faulty_series, messages


@pytest.fixture(autouse=True)
def always_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "LOOK_FOR_IDLE_EVERY_S", 0.0)


def later(unit: str, after_s: float, n_readings: int = 20) -> list[Message]:
    """Readings that begin so long after those of `messages`, which are a second apart."""
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


def test_a_silent_unit_is_given_up_and_starts_anew(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", builders.sensor_series(20)))
    broker.append(later("busy", 0.0))
    setup = Setup(broker, detector, unit_idle_s=100.0)
    setup.read_all()
    assert setup.metric("pipeline_units") == 2

    broker.append(later("busy", 1_000.0))
    setup.read_all()
    assert setup.metric("pipeline_units") == 1
    assert setup.metric("pipeline_units_evicted_total") == 1
    scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0
    broker.append(later("silent", 1_010.0, n_readings=WINDOW))
    setup.read_all()

    assert setup.metric("pipeline_windows_scored_total", device="cpu") == scored + 1


def test_its_incident_stays_open_and_goes_on_under_its_id(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", faulty_series()[: FAULT.start + 10]))
    setup = Setup(broker, detector, unit_idle_s=100.0)
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
    first = Setup(broker, detector, unit_idle_s=100.0)
    first.read_all()
    first.consumer.close(0.0)

    second = Setup(broker, detector, unit_idle_s=100.0)
    second.read_all()

    assert 0 < (second.metric("pipeline_readings_replayed_total") or 0) < 200
    assert second.metric("pipeline_units") == 1


def test_nor_to_the_beginning_of_its_incident(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("silent", faulty_series()[: FAULT.start + 10]))
    broker.append(later("busy", 10_000.0, n_readings=400))
    first = Setup(broker, detector, unit_idle_s=100.0, max_note_bytes=100)
    first.read_all()
    first.consumer.close(0.0)

    second = Setup(broker, detector, unit_idle_s=100.0, max_note_bytes=100)
    second.read_all()

    assert first.metric("pipeline_incidents_out_of_reach") == 1
    assert 0 < (second.metric("pipeline_readings_replayed_total") or 0) < 400


def test_one_clock_that_is_wrong_makes_nobody_idle(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump", builders.sensor_series(20)))
    broker.append([*later("wrong", 1_000.0, 1), *later("busy", 20.0, n_readings=10)])
    setup = Setup(broker, detector, unit_idle_s=100.0)

    setup.read_all()

    assert setup.metric("pipeline_units_evicted_total") == 0


def test_an_old_stretch_that_is_sent_again_makes_nobody_idle(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(later("new", 10_000.0))
    setup = Setup(broker, detector, max_records=7, unit_idle_s=100.0)
    setup.read_all()

    broker.append(messages("old", builders.sensor_series(100)))
    setup.read_all()

    assert setup.metric("pipeline_units_evicted_total") == 0
    scored = setup.metric("pipeline_windows_scored_total", device="cpu")
    assert scored == (20 - WINDOW + 1) + (100 - WINDOW + 1)
