"""The loop while a batch takes long: what goes on beside it, and whose its outcome is."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from pipeline import worker
from pipeline.detector.detector import Detector
from pipeline.errors import TransportError
from pipeline.records import Message, Partition, Records
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from pipeline.turn import Turn
from tests.support import DEADLINE_S, wait_until
from tests.workers import N_READINGS, Setup, faulty_series, messages

BOTH = frozenset({Partition("readings", 0), Partition("readings", 1)})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "KEEP_ALIVE_S", 0.005)
    monkeypatch.setattr(worker, "REVOKE_TIMEOUT_S", 0.05)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Where a worker turns while the test looks on."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Stalled:
    """A device that answers nothing until it is told to."""

    def __init__(self, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()
        score = setup.scorer.score

        def wait(*args: object) -> object:
            self.is_reached.set()
            assert self.may_go_on.wait(DEADLINE_S)
            return score(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(setup.scorer, "score", wait)


def units_of_both_partitions(broker: MemoryBroker) -> list[Message]:
    """Two units with the same fault, one in each partition."""
    sent = [message for i in range(8) for message in messages(f"pump-{i}", faulty_series())]
    broker.append(sent)
    return sent


def n_rebalances(setup: Setup) -> float:
    """The first assignment is one."""
    return setup.metric("pipeline_rebalances_total") or 0.0


def stalled_turn(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, thread: ThreadPoolExecutor
) -> tuple[Stalled, "Future[Turn | None]"]:
    stalled = Stalled(setup, monkeypatch)
    future = thread.submit(setup.worker.run_once)
    assert stalled.is_reached.wait(DEADLINE_S)
    return stalled, future


def test_the_next_batch_is_polled_while_one_is_scored(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50)
    stalled = Stalled(setup, monkeypatch)
    poll, offsets = setup.consumer.poll, []

    def counted(max_records: int, timeout_s: float) -> Records:
        polled = poll(max_records, timeout_s)
        offsets.append(polled.records[-1].offset)
        if len(offsets) == 2:
            stalled.may_go_on.set()
        return polled

    monkeypatch.setattr(setup.consumer, "poll", counted)
    turn = setup.worker.run_once()

    assert turn is not None
    assert turn.records.records[-1].offset == offsets[0] == 49
    assert offsets == [49, 99]
    # What is polled and not processed is not committed.
    assert list(broker.committed("workers").values()) == [50]


def test_a_slow_batch_costs_no_membership(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50)
    n_kept_alive, keep_alive = [0], setup.consumer.keep_alive

    def counted() -> None:
        n_kept_alive[0] += 1
        keep_alive()

    monkeypatch.setattr(setup.consumer, "keep_alive", counted)
    stalled, future = stalled_turn(setup, monkeypatch, thread)
    wait_until(lambda: n_kept_alive[0] >= 3, "it was polled for the membership alone")
    stalled.may_go_on.set()

    assert future.result(DEADLINE_S) is not None
    setup.read_all()
    assert setup.metric("pipeline_readings_total") == N_READINGS


def test_a_partition_that_goes_waits_for_the_batch_in_hand(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    sent = units_of_both_partitions(broker)
    monkeypatch.setattr(worker, "REVOKE_TIMEOUT_S", DEADLINE_S)
    first = Setup(broker, detector, max_records=len(sent), commit_interval_s=3_600.0)
    stalled, future = stalled_turn(first, monkeypatch, thread)
    second = Setup(broker, detector)
    second.worker.run_once()
    wait_until(lambda: n_rebalances(first) == 2, "it was told that one goes")
    stalled.may_go_on.set()
    assert future.result(DEADLINE_S) is not None

    wait_until(lambda: second.worker.run_once() or second.consumer.assignment(), "it moved")
    second.read_all()

    assert sum(broker.committed("workers").values()) == len(sent)
    assert second.metric("pipeline_readings_total") == 0
    assert len([alert for alert in first.alerts() if alert.state == "opened"]) == 8


def test_what_a_stalled_batch_comes_to_is_not_told_for_a_partition_that_went_meanwhile(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    sent = units_of_both_partitions(broker)
    first = Setup(broker, detector, max_records=len(sent))
    stalled, future = stalled_turn(first, monkeypatch, thread)
    second = Setup(broker, detector, max_records=len(sent))

    def moved() -> frozenset[Partition]:
        second.worker.run_once()
        return second.consumer.assignment()

    (gone,) = wait_until(moved, "a partition has moved")
    second.read_all()
    told_by_second = {alert.unit for alert in second.alerts()}
    stalled.may_go_on.set()
    assert future.result(DEADLINE_S) is not None

    opened = [alert.unit for alert in first.alerts() if alert.state == "opened"]
    assert 0 < len(told_by_second) < 8
    assert sorted(opened) == [f"pump-{i}" for i in range(8)]
    assert sum(broker.committed("workers").values()) == len(sent)
    assert first.metric("pipeline_units") == 8 - len(told_by_second)
    assert first.consumer.assignment() == BOTH - {gone}


def test_what_a_stalled_batch_comes_to_is_not_told_once_the_membership_is_lost(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    units_of_both_partitions(broker)
    setup = Setup(broker, detector, max_records=1_000)
    stalled, future = stalled_turn(setup, monkeypatch, thread)
    setup.consumer.evict()
    wait_until(lambda: n_rebalances(setup) >= 2, "it was told")
    stalled.may_go_on.set()
    assert future.result(DEADLINE_S) is not None

    assert setup.alerts() == []
    assert broker.committed("workers") == {}
    # It is a member again by now, and begins anew.
    setup.read_all()
    assert len([alert for alert in setup.alerts() if alert.state == "opened"]) == 8


def test_records_polled_ahead_of_a_partition_that_went_are_left_to_its_new_owner(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    sent = units_of_both_partitions(broker)
    first = Setup(broker, detector, max_records=len(sent) // 4)
    stalled, future = stalled_turn(first, monkeypatch, thread)
    second = Setup(broker, detector)

    def moved() -> frozenset[Partition]:
        second.worker.run_once()
        return second.consumer.assignment()

    wait_until(moved, "a partition has moved")
    second.read_all()
    stalled.may_go_on.set()
    future.result(DEADLINE_S)
    first.read_all()

    opened = [alert.unit for alert in first.alerts() if alert.state == "opened"]
    assert sorted(opened) == [f"pump-{i}" for i in range(8)]
    assert sum(broker.committed("workers").values()) == len(sent)


def test_what_was_read_before_a_record_that_cannot_be_is_published_and_committed(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=150, commit_interval_s=3_600.0)
    poll, n_polls = setup.consumer.poll, [0]

    def broken(max_records: int, timeout_s: float) -> Records:
        n_polls[0] += 1
        if n_polls[0] == 2:
            raise TransportError("a batch is broken", retriable=False)
        return poll(max_records, timeout_s)

    monkeypatch.setattr(setup.consumer, "poll", broken)
    with pytest.raises(TransportError, match="broken"):
        setup.worker.run_once()
    setup.worker.close(1.0)

    assert list(broker.committed("workers").values()) == [150]
    assert setup.alerts()[0].state == "opened"


def test_an_error_within_a_batch_ends_the_loop_as_it_is(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector)
    fault = RuntimeError("out of memory on the device")

    def fail(*args: object) -> object:
        raise fault

    monkeypatch.setattr(setup.scorer, "score", fail)

    with pytest.raises(RuntimeError, match="out of memory"):
        setup.worker.run_once()
    assert broker.committed("workers") == {}


def test_a_broker_that_takes_nothing_for_a_while_costs_nothing(
    broker: MemoryBroker,
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    thread: ThreadPoolExecutor,
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=N_READINGS)
    monkeypatch.setattr(worker, "PUBLISH_AGAIN_S", 0.01)
    n_refused, n_kept_alive, keep_alive = [0], [0], setup.consumer.keep_alive

    def refuse(self: MemoryProducer, messages: Sequence[Message]) -> None:
        n_refused[0] += 1
        raise TransportError("no answer in time", retriable=True)

    def counted() -> None:
        n_kept_alive[0] += 1
        keep_alive()

    monkeypatch.setattr(setup.consumer, "keep_alive", counted)
    with monkeypatch.context() as refusing:
        refusing.setattr(MemoryProducer, "send", refuse)
        future = thread.submit(setup.worker.run_once)
        wait_until(lambda: min(n_refused[0], n_kept_alive[0]) >= 3, "it has tried again")
        is_ready = setup.health.readiness(0.0)["broker_takes_alerts"]
        committed = broker.committed("workers")

    assert future.result(DEADLINE_S) is not None
    assert (is_ready, committed) == (False, {})
    assert setup.health.readiness(0.0)["broker_takes_alerts"]
    assert [alert.state for alert in setup.alerts()][:1] == ["opened"]
    assert setup.metric("pipeline_readings_total") == N_READINGS
    assert list(broker.committed("workers").values()) == [N_READINGS]
