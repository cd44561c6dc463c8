"""Another detector goes on where the one before it ends: nothing is lost, told twice or
left open, whether the worker is restarted for it or not."""

import random
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline import worker
from pipeline.alert import decode
from pipeline.delivery import AtLeastOnce, Delivery
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.scaling import Scaling
from pipeline.errors import TransportError
from pipeline.handover import hand_over
from pipeline.records import Message, Partition
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.transport.memory_transactions import MemoryTransactions
from pipeline.watch import AsBefore, Refused
from tests import builders
from tests.pipeline.test_recovery import Outcome, outcome, series
from tests.workers import N_READINGS, WINDOW, Setup, described, messages, raising

OLD = described(builders.quiet_detector(N_READINGS, WINDOW), "sha256:0")
N_UNITS = 5


def of_sensors(detector: Detector, order: list[int]) -> Detector:
    """A detector that knows the same sensors by other columns, and scores like noise."""
    scaler = detector.scaling.pooled
    moved = replace(scaler, mean_F=scaler.mean_F[order], scale_F=scaler.scale_F[order])
    sensors = tuple(builders.SENSORS[f] for f in order)
    return replace(detector, sensors=sensors, scaling=Scaling(moved))


SAME_WINDOWS = builders.quiet_detector(N_READINGS, WINDOW, seed=1)
NEW = {
    "same windows": SAME_WINDOWS,
    "longer windows": builders.quiet_detector(N_READINGS, 4 * WINDOW, seed=2),
    "shorter windows": builders.quiet_detector(N_READINGS, WINDOW // 2, seed=3),
    "sensors in another order": of_sensors(SAME_WINDOWS, [2, 0, 1]),
}
each_successor = pytest.mark.parametrize(
    "new", [pytest.param(described(d, f"sha256:{n}"), id=n) for n, d in NEW.items()]
)


def stream() -> list[Message]:
    chance = random.Random(1)
    waiting = [messages(f"pump-{u}", series(u))[::-1] for u in range(N_UNITS)]
    mixed = []
    while any(waiting):
        of_one = chance.choice([each for each in waiting if each])
        mixed += [of_one.pop() for _ in range(min(chance.randint(1, 9), len(of_one)))]
    return mixed


STREAM = stream()
HALF = len(STREAM) // 2
"""Incidents are open then."""


def read(setup: Setup) -> Setup:
    setup.read_all()
    return setup


def restarted_for(new: LoadedDetector, n_before: int, n_partitions: int = 1) -> Outcome:
    """What is told if a worker of the old detector ends there, and one of `new` begins."""
    broker = MemoryBroker(n_partitions)
    broker.append(STREAM[:n_before])
    read(Setup(broker, OLD.detector, loaded=OLD)).worker.close(1.0)
    broker.append(STREAM[n_before:])
    read(Setup(broker, new.detector, loaded=new))
    return outcome(broker)


@each_successor
def test_a_worker_that_takes_another_detector_tells_what_a_restarted_one_would(
    new: LoadedDetector,
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM[:HALF])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    n_open = setup.metric("pipeline_incidents_open")

    setup.watch.found = setup.steps_of(new)
    setup.read_all()
    broker.append(STREAM[HALF:])
    setup.read_all()

    told = outcome(broker)
    assert told == told.once() == restarted_for(new, HALF)
    assert n_open
    assert setup.metric("pipeline_readings_total") == len(STREAM)


@each_successor
def test_an_open_incident_goes_on_under_its_id_until_the_new_detector_says_it_is_over(
    new: LoadedDetector,
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(messages("pump", series(0))[:100])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    (opened, *_) = setup.alerts()

    setup.watch.found = setup.steps_of(new)
    broker.append(messages("pump", series(0))[100:])
    setup.read_all()

    closed = next(alert for alert in setup.alerts() if alert.state == "closed")
    assert closed.incident_id == opened.incident_id
    assert closed.opened_at == opened.opened_at
    assert closed.detector.digest == new.digest
    assert closed.peak_score >= opened.peak_score
    ids = [a.incident_id for a in setup.alerts() if a.state == "opened"]
    assert len(ids) == len(set(ids))
    assert setup.metric("pipeline_incidents_open") == 0


@pytest.mark.parametrize("seed", range(15))
@each_successor
def test_a_crash_around_the_hand_over_changes_nothing(
    new: LoadedDetector, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[Partition, int] = {}

    def seen(*args: Any) -> Any:
        where.update(args[4])
        return hand_over(*args)

    monkeypatch.setattr(worker, "hand_over", seen)
    chance = random.Random(seed)
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM)
    # Mostly only what must be is committed: all that follows is lost in a crash.
    every_s = chance.choice([0.0, 3_600.0, 3_600.0])
    is_exactly_once = chance.random() < 0.5

    def started(loaded: LoadedDetector) -> Setup:
        delivery: Delivery = AtLeastOnce(MemoryProducer(broker))
        if is_exactly_once:
            delivery = MemoryTransactions(broker, transactional_id=uuid4().hex)
        return Setup(
            broker,
            loaded.detector,
            loaded=loaded,
            max_records=chance.choice([7, 30, 200]),
            commit_interval_s=every_s,
            delivery=delivery,
        )

    setup = started(OLD)
    for _ in range(chance.randint(1, 20)):
        setup.worker.run_once()
    setup.watch.found = setup.steps_of(new)
    while not where:
        setup.worker.run_once()
    for _ in range(3):
        for _ in range(chance.randint(0, 4)):
            setup.worker.run_once()
        setup.consumer.close(0.0)
        setup = started(new)
    setup.read_all()

    told = outcome(broker)
    assert told.once() == restarted_for(new, where[Partition("readings", 0)])
    assert told == told.once() or not is_exactly_once


def test_windows_of_the_same_sensors_and_length_go_on_without_reading_again() -> None:
    broker = MemoryBroker(n_partitions=2)
    broker.append(STREAM[:HALF])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    n_scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0

    setup.watch.found = setup.steps_of(described(SAME_WINDOWS, "sha256:1"))
    broker.append(STREAM[HALF:])
    setup.read_all()

    assert setup.metric("pipeline_readings_replayed_total") == 0
    scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0
    assert scored - n_scored == len(STREAM) - HALF


@pytest.mark.parametrize("name", ["longer windows", "sensors in another order"])
def test_other_windows_are_filled_by_reading_again(name: str) -> None:
    broker = MemoryBroker(n_partitions=2)
    broker.append(STREAM[:HALF])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    n_scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0

    setup.watch.found = setup.steps_of(described(NEW[name], "sha256:1"))
    broker.append(STREAM[HALF:])
    setup.read_all()

    assert setup.metric("pipeline_readings_replayed_total")
    scored = setup.metric("pipeline_windows_scored_total", device="cpu") or 0
    assert scored - n_scored == len(STREAM) - HALF


@each_successor
def test_a_worker_that_is_still_reading_again_takes_another_detector(
    new: LoadedDetector,
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM[:HALF])
    read(Setup(broker, OLD.detector, loaded=OLD)).worker.close(1.0)
    broker.append(STREAM[HALF:])

    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=10)
    setup.worker.run_once()
    assert setup.metric("pipeline_readings_replayed_total")
    assert setup.metric("pipeline_readings_total") == 0
    setup.watch.found = setup.steps_of(new)
    setup.read_all()

    assert outcome(broker) == restarted_for(new, HALF)


MANY = [f"pump-{n}" for n in range(60)]


def many(begin: int, end: int) -> list[Message]:
    """Readings of many units, whose incidents have little in common."""
    chance = np.random.default_rng(0)
    sent = []
    for unit in MANY:
        values_NF = builders.sensor_series(N_READINGS).copy()
        values_NF[60:150] += chance.uniform(50, 500, size=3)
        sent += messages(unit, values_NF)[begin:end]
    return sent


@pytest.mark.parametrize("how", ["taken", "taken, then a crash", "a restart for it"])
@pytest.mark.parametrize("name", ["same windows", "longer windows"])
def test_incidents_without_room_in_the_note_go_on_as_well(how: str, name: str) -> None:
    new = described(NEW[name], "sha256:1")
    broker = MemoryBroker(n_partitions=1)
    broker.append(many(0, 100))
    setup = read(Setup(broker, OLD.detector, loaded=OLD, max_note_bytes=2_000))
    opened = {a.incident_id: a for a in setup.alerts() if a.state == "opened"}
    n_before = len(setup.alerts())

    if how == "a restart for it":
        setup.worker.close(1.0)
        setup = Setup(broker, new.detector, loaded=new, max_note_bytes=2_000)
    else:
        setup.watch.found = setup.steps_of(new)
    broker.append(many(100, 110))
    setup.read_all()
    assert setup.metric("pipeline_incidents_open") == len(MANY)
    assert setup.metric("pipeline_incidents_out_of_reach") == 0
    if how == "taken, then a crash":
        setup.consumer.close(0.0)
        setup = Setup(broker, new.detector, loaded=new, max_note_bytes=2_000)
    broker.append(many(110, N_READINGS))
    setup.read_all()

    after = setup.alerts()[n_before:]
    closed = {a.incident_id: a for a in after if a.state == "closed"}
    assert len(opened) == len(MANY)
    assert closed.keys() == opened.keys()
    assert all(a.state != "opened" for a in after)
    for id_, alert in closed.items():
        assert alert.opened_at == opened[id_].opened_at
        assert alert.peak_score >= 0.99 * opened[id_].peak_score


def test_a_detector_that_must_not_be_used_changes_nothing_and_is_seen() -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM)
    setup = Setup(broker, OLD.detector, loaded=OLD)
    setup.watch.found = Refused("its golden windows score otherwise")

    setup.read_all()

    assert setup.metric("pipeline_detector_loads_total", outcome="refused") == 1
    assert setup.metric("pipeline_detector_refused") == 1
    name, model = OLD.manifest.name, OLD.manifest.model
    labels = {"name": name, "model": model}
    assert setup.metric("pipeline_detector_info", digest="sha256:0", **labels) == 1
    setup.watch.found = AsBefore()
    setup.read_all()
    assert setup.metric("pipeline_detector_refused") == 0


def test_a_detector_without_room_for_all_units_that_are_known_is_refused() -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM[:HALF])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    setup.max_units = N_UNITS - 1
    setup.watch.found = setup.steps_of(described(NEW["longer windows"], "sha256:1"))

    broker.append(STREAM[HALF:])
    with capture_logs() as lines:
        setup.read_all()

    (line,) = (line for line in lines if line["event"] == "detector_refused")
    assert f"{N_UNITS} units are known" in line["detail"]
    assert f"room for {N_UNITS - 1}" in line["detail"]
    assert setup.metric("pipeline_detector_refused") == 1
    assert setup.watch.declined_for == "sha256:0"
    assert setup.metric("pipeline_units") == N_UNITS
    assert setup.metric("pipeline_readings_total") == len(STREAM)


@each_successor
def test_a_hand_over_that_fails_half_way_is_begun_anew(
    new: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker(n_partitions=3)
    broker.append(STREAM[:HALF])
    read(Setup(broker, OLD.detector, loaded=OLD)).worker.close(1.0)
    broker.append(STREAM[HALF:])
    # All partitions are still being read again.
    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=10)
    setup.worker.run_once()
    assert setup.metric("pipeline_readings_total") == 0
    seek, n_sought = MemoryConsumer.seek, 0

    def failing(consumer: MemoryConsumer, partition: Partition, offset: int) -> None:
        nonlocal n_sought
        n_sought += 1
        if n_sought == 1:
            raise TransportError("no leader at present", retriable=True)
        seek(consumer, partition, offset)

    monkeypatch.setattr(MemoryConsumer, "seek", failing)
    setup.watch.found = setup.steps_of(new)
    setup.read_all()
    assert not setup.metric("pipeline_detector_loads_total", outcome="taken")
    setup.read_all()

    assert setup.metric("pipeline_detector_loads_total", outcome="taken") == 1
    assert outcome(broker) == restarted_for(new, HALF, n_partitions=3)


def test_one_detector_is_shown_to_be_in_use() -> None:
    new = described(SAME_WINDOWS, "sha256:1")
    setup = Setup(MemoryBroker(), OLD.detector, loaded=OLD)
    taken_at_s = setup.metric("pipeline_detector_loaded_timestamp_seconds")

    setup.watch.found = setup.steps_of(new)
    setup.read_all()

    labels = {"name": new.manifest.name, "model": new.manifest.model}
    assert setup.metric("pipeline_detector_info", digest="sha256:1", **labels) == 1
    assert setup.metric("pipeline_detector_info", digest="sha256:0", **labels) is None
    now_s = setup.metric("pipeline_detector_loaded_timestamp_seconds")
    assert (now_s or 0) >= (taken_at_s or 0)


def test_the_old_detector_goes_on_until_all_it_read_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM)
    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=100)
    with monkeypatch.context() as refusing:
        refused = TransportError("a rebalance is under way", retriable=True)
        refusing.setattr(MemoryConsumer, "commit", raising(refused))
        setup.worker.run_once()
        setup.watch.found = setup.steps_of(described(SAME_WINDOWS, "sha256:1"))
        for _ in range(5):
            setup.worker.run_once()
        assert not setup.metric("pipeline_detector_loads_total", outcome="taken")

    setup.read_all()

    assert setup.metric("pipeline_detector_loads_total", outcome="taken") == 1
    assert setup.metric("pipeline_readings_total") == len(STREAM)


@each_successor
def test_a_broker_that_does_not_answer_postpones_it(
    new: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM[:HALF])
    setup = read(Setup(broker, OLD.detector, loaded=OLD))
    with monkeypatch.context() as silent:
        slow = TransportError("not answered in time", retriable=True)
        silent.setattr(MemoryConsumer, "committed", raising(slow))
        setup.watch.found = setup.steps_of(new)
        for _ in range(3):
            setup.worker.run_once()
        assert not setup.metric("pipeline_detector_loads_total", outcome="taken")

    setup.read_all()
    broker.append(STREAM[HALF:])
    setup.read_all()

    assert outcome(broker) == restarted_for(new, HALF)


def test_a_rebalance_that_the_commit_waits_for_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = MemoryBroker(n_partitions=1)
    broker.append(STREAM)
    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=100)
    with monkeypatch.context() as refusing:
        refused = TransportError("a rebalance is under way", retriable=True)
        refusing.setattr(MemoryConsumer, "commit", raising(refused))
        refusing.setattr(MemoryConsumer, "keep_alive", lambda self: refusing.undo())
        setup.worker.run_once()
        setup.watch.found = setup.steps_of(described(SAME_WINDOWS, "sha256:1"))
        for _ in range(4):
            setup.worker.run_once()

        assert setup.metric("pipeline_detector_loads_total", outcome="taken") == 1


@pytest.mark.parametrize("seed", range(25))
def test_workers_that_change_detectors_one_by_one_leave_no_incident_behind(
    seed: int,
) -> None:
    """Partitions move between workers of either detector, back and forth."""
    chance = random.Random(seed)
    broker = MemoryBroker(n_partitions=3)
    broker.append(STREAM)

    def started(loaded: LoadedDetector) -> Setup:
        return Setup(
            broker,
            loaded.detector,
            loaded=loaded,
            max_records=chance.choice([7, 30]),
            delivery=MemoryTransactions(broker, transactional_id=uuid4().hex),
        )

    successors = [described(d, f"sha256:{name}") for name, d in NEW.items()]
    workers = [started(OLD), started(OLD)]
    n_idle = 0
    while n_idle < 5:
        at = chance.randrange(len(workers))
        action = chance.random()
        if action < 0.06:
            workers[at].watch.found = workers[at].steps_of(chance.choice(successors))
        elif action < 0.1:
            workers[at].consumer.close(0.0)
            workers[at] = started(chance.choice(successors))
        elif action < 0.13:
            workers.pop(at).worker.close(1.0)
            workers.append(started(chance.choice(successors)))
        turns = [each.worker.run_once() for each in workers]
        n_idle = 0 if any(turns) else n_idle + 1

    states: dict[str, list[str]] = {}
    for record in broker.records("alerts"):
        alert = decode(record.value or b"")
        states.setdefault(alert.incident_id, []).append(alert.state)
    for of_one in states.values():
        assert of_one[0] == "opened"
        assert of_one.count("opened") == 1
        assert "closed" not in of_one[:-1]
    n_open = sum(of_one[-1] != "closed" for of_one in states.values())
    assert n_open == sum(w.metric("pipeline_incidents_open") or 0 for w in workers)


def test_what_scores_said_before_the_hand_over_opens_nothing_after_it() -> None:
    broker = MemoryBroker(n_partitions=1)
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[100:102] += np.array([[400.0, 0.0, 0.0]])
    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=1)
    broker.append(messages("pump", values_NF)[:101])
    setup.read_all()

    setup.watch.found = setup.steps_of(described(SAME_WINDOWS, "sha256:1"))
    setup.read_all()
    broker.append(messages("pump", values_NF)[101:102])
    setup.read_all()

    assert setup.alerts() == []
