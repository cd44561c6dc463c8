"""The loop when partitions come and go: what is committed, and what is forgotten."""

import pytest

from pipeline.detector.detector import Detector
from pipeline.errors import TransportError
from pipeline.records import Partition
from pipeline.transport.memory import MemoryBroker, MemoryConsumer
from tests import builders
from tests.workers import FAULT, WINDOW, Setup, faulty_series, messages, raising


def test_a_rebalance_shares_the_partitions_and_forgets_the_units_of_those_that_go(
    detector: Detector,
) -> None:
    broker = MemoryBroker(n_partitions=2)
    broker.append(
        m for i in range(10) for m in messages(f"pump-{i}", builders.sensor_series(20))
    )
    first = Setup(broker, detector)
    first.read_all()
    n_units = first.metric("pipeline_units")

    second = Setup(broker, detector)
    for _ in range(3):
        first.worker.run_once()
        second.worker.run_once()

    assert n_units == 10
    n_shared = [s.metric("pipeline_partitions_assigned") for s in (first, second)]
    assert n_shared == [1, 1]
    assert 0 < (first.metric("pipeline_units") or 0) < 10
    assert sum(broker.committed("workers").values()) == 200


@pytest.fixture
def uncommitted(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> Setup:
    """A worker that has read 20 readings and could not commit them yet."""
    broker.append(messages("pump-7", builders.sensor_series(20)))
    setup = Setup(broker, detector, max_records=100)
    with monkeypatch.context() as refusing:
        refused = TransportError("a rebalance is under way", retriable=True)
        refusing.setattr(MemoryConsumer, "commit", raising(refused))
        setup.worker.run_once()
    assert broker.committed("workers") == {}
    return setup


BOTH = [Partition("readings", 0), Partition("readings", 1)]


def test_a_revoked_partition_is_committed_before_it_goes(uncommitted: Setup) -> None:
    uncommitted.worker.on_revoked(BOTH)

    assert list(uncommitted.broker.committed("workers").values()) == [20]


def test_a_lost_partition_is_not_committed(uncommitted: Setup) -> None:
    uncommitted.worker.on_lost(BOTH)
    uncommitted.worker.run_once()

    assert uncommitted.broker.committed("workers") == {}
    assert uncommitted.metric("pipeline_units") == 0


def test_leaving_commits_what_is_finished(uncommitted: Setup) -> None:
    uncommitted.worker.close(1.0)

    assert list(uncommitted.broker.committed("workers").values()) == [20]


def test_a_commit_refused_by_a_rebalance_is_made_up_for(uncommitted: Setup) -> None:
    uncommitted.worker.run_once()

    assert list(uncommitted.broker.committed("workers").values()) == [20]


def test_a_unit_never_takes_over_what_a_forgotten_one_left_behind(
    detector: Detector,
) -> None:
    broker = MemoryBroker()
    faulty = messages("gone", faulty_series())
    broker.append(faulty[: FAULT.start + 10])
    setup = Setup(broker, detector)
    setup.read_all()
    assert setup.metric("pipeline_incidents_open") == 1

    setup.worker.on_lost([Partition("readings", 0)])
    scored_before = setup.metric("pipeline_windows_scored_total", device="cpu") or 0
    broker.append(messages("new", builders.sensor_series(WINDOW + 4)))
    setup.read_all()

    scored = setup.metric("pipeline_windows_scored_total", device="cpu")
    assert scored == scored_before + 5
    assert setup.metric("pipeline_incidents_open") == 0
    assert {alert.unit for alert in setup.alerts()} == {"gone"}
