"""The loop, on the in-memory transport: what is published, committed and counted."""

import re
import threading
import time

import msgspec
import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from pipeline import worker
from pipeline.alert import Alert, AlertEncoder, DetectorPart, decode
from pipeline.decode import Decoder
from pipeline.detector.detector import Detector
from pipeline.errors import MessageTooLarge, StreamUnreadable, TransportError
from pipeline.health import Health
from pipeline.incident import IncidentTracker
from pipeline.metrics import WorkerMetrics
from pipeline.records import Message, Partition
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer
from pipeline.steps import Steps
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.trigger import IncidentRule
from pipeline.units import Units
from pipeline.window import SlidingWindows
from pipeline.worker import Worker
from tests import builders

WINDOW = 8
N_READINGS = 200
FAULT = slice(120, 150)


class Setup:
    """A worker on a broker of its own, with everything a test may look at."""

    def __init__(
        self,
        broker: MemoryBroker,
        detector: Detector,
        max_fraction: float = 1.0,
        max_units: int = 100,
        max_records: int = 50,
    ) -> None:
        self.broker = broker
        self.registry = CollectorRegistry()
        self.health = Health(max_turn_s=60.0, now_s=0.0)
        self.worker = Worker(
            steps=Steps(
                decoder=Decoder(detector.sensors, 1_000_000, max_ahead_s=np.inf),
                units=Units(max_units),
                windows=SlidingWindows(detector.window, len(detector.sensors)),
                scorer=Scorer(detector, torch.device("cpu")),
                incidents=IncidentTracker(IncidentRule(2, 3, 5)),
                alerts=AlertEncoder(
                    "alerts", detector.sensors, DetectorPart("pumps", "sha256:0"), 3
                ),
            ),
            connect=self._connect,
            producer=MemoryProducer(broker),
            dead_letters_topic="readings.dead",
            limit=RejectionLimit(max_fraction, min_records=10, period_s=60.0),
            metrics=WorkerMetrics(self.registry),
            health=self.health,
            max_records=max_records,
            poll_timeout_s=0.0,
        )

    def _connect(self, listener: object) -> MemoryConsumer:
        self.consumer = MemoryConsumer(
            self.broker,
            group_id="workers",
            topic="readings",
            listener=listener,  # type: ignore[arg-type]
        )
        return self.consumer

    def read_all(self) -> None:
        while self.worker.run_once() is not None:
            pass

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def alerts(self) -> list[Alert]:
        return [decode(r.value or b"") for r in self.broker.records("alerts")]


@pytest.fixture
def detector() -> Detector:
    """Its threshold is above every score of the series without the fault."""
    uncalibrated = builders.detector(window=WINDOW, threshold=1.0)
    normal_BTF = builders.windows_of(builders.sensor_series(N_READINGS), WINDOW)
    threshold = 1.5 * float(uncalibrated.score(normal_BTF).score_B.max())
    return builders.detector(window=WINDOW, threshold=threshold)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(n_partitions=2)


def messages(unit: str, values_NF: np.ndarray) -> list[Message]:
    return [
        Message(
            topic="readings",
            key=unit.encode(),
            value=builders.reading_json(
                unit, 1e9 + i, dict(zip(builders.SENSORS, row, strict=True))
            ),
        )
        for i, row in enumerate(values_NF.tolist())
    ]


def faulty_series() -> np.ndarray:
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[FAULT, 1] += 100.0
    return values_NF


def test_a_fault_opens_an_incident_that_names_its_sensor_and_closes_after_it(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", faulty_series()))

    setup = Setup(broker, detector)
    setup.read_all()

    opened, *_, closed = setup.alerts()
    assert (opened.state, opened.unit) == ("opened", "pump-7")
    assert opened.sensors[0].name == builders.SENSORS[1]
    assert opened.source.last_offset in range(FAULT.start, FAULT.start + 5)
    assert opened.source.first_offset == opened.source.last_offset - WINDOW + 1
    assert (closed.state, closed.incident_id) == ("closed", opened.incident_id)
    assert setup.metric("pipeline_incidents_opened_total") == 1
    assert setup.metric("pipeline_incidents_open") == 0


@pytest.mark.parametrize("max_records", [1, 7, 1000])
def test_alerts_do_not_depend_on_how_readings_are_batched(
    broker: MemoryBroker, detector: Detector, max_records: int
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    at_once = MemoryBroker(n_partitions=2)
    at_once.append(messages("pump-7", faulty_series()))

    Setup(broker, detector, max_records=max_records).read_all()
    reference = Setup(at_once, detector, max_records=100)
    reference.read_all()

    found = [decode(r.value or b"") for r in broker.records("alerts")]
    expected = reference.alerts()
    assert [contents(alert) for alert in found] == [contents(alert) for alert in expected]


def contents(alert: Alert) -> object:
    """All of it, numbers to four digits: a batch's size may change the last ones."""
    rounded = re.sub(
        rb"-?\d+\.\d+(e-?\d+)?",
        lambda number: b"%.4g" % float(number[0]),
        msgspec.json.encode(alert),
    )
    return msgspec.json.decode(rounded)


def test_offsets_are_committed_only_after_alerts_are_acknowledged(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=N_READINGS)
    monkeypatch.setattr(
        MemoryProducer, "send", _raising(TransportError("down", retriable=True))
    )

    with pytest.raises(TransportError):
        setup.read_all()

    assert broker.committed("workers") == {}


def test_what_is_read_is_committed(broker: MemoryBroker, detector: Detector) -> None:
    broker.append(messages("pump-7", faulty_series()))

    Setup(broker, detector).read_all()

    assert list(broker.committed("workers").values()) == [N_READINGS]


def test_a_bad_record_is_dead_lettered_as_it_came_and_the_worker_goes_on(
    broker: MemoryBroker, detector: Detector
) -> None:
    bad = Message("readings", b"not json", b"pump-7", [("trace", b"1")], 1_000)
    broker.append([bad, *messages("pump-7", faulty_series())])

    setup = Setup(broker, detector)
    setup.read_all()

    (dead,) = broker.records("readings.dead")
    assert (dead.value, dead.key, dead.timestamp) == (b"not json", b"pump-7", 1_000)
    headers = dict(dead.headers)
    assert headers["trace"] == b"1"
    assert headers["dead-letter-reason"] == b"not_json"
    assert headers["dead-letter-topic"] == b"readings"
    assert headers["dead-letter-offset"] == b"0"
    assert setup.metric("pipeline_records_rejected_total", reason="not_json") == 1
    assert setup.metric("pipeline_readings_total") == N_READINGS


@pytest.mark.parametrize(
    "message",
    [
        Message("readings", b"x" * 995),
        Message("readings", b"x", key=b"k" * 990),
        Message("readings", b"x", headers=[("trace", b"h" * 980)]),
    ],
)
def test_a_record_that_leaves_no_room_for_our_headers_is_told_of_without_its_content(
    detector: Detector, message: Message
) -> None:
    broker = MemoryBroker(max_message_bytes=1_000)
    broker.append([message])

    setup = Setup(broker, detector)
    setup.read_all()

    (dead,) = broker.records("readings.dead")
    assert (dead.value, dead.key) == (None, None)
    headers = dict(dead.headers)
    assert "dead-letter-omitted" in headers
    assert headers["dead-letter-offset"] == b"0"
    assert list(broker.committed("workers").values()) == [1]


def test_a_stream_that_cannot_be_read_stops_the_worker(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append([Message("readings", b"garbage") for _ in range(20)])

    with pytest.raises(StreamUnreadable, match="20 of the last 20 records"):
        Setup(broker, detector, max_fraction=0.5).read_all()

    assert len(broker.records("readings.dead")) == 20


def test_a_unit_too_many_is_refused_and_counted_while_known_ones_go_on(
    broker: MemoryBroker, detector: Detector
) -> None:
    series_NF = builders.sensor_series(20)
    broker.append([*messages("known", series_NF), *messages("one-more", series_NF)])

    setup = Setup(broker, detector, max_units=1)
    setup.read_all()

    refused = setup.metric("pipeline_records_rejected_total", reason="too_many_units")
    assert refused == 20
    assert len(broker.records("readings.dead")) == 20
    assert setup.metric("pipeline_units") == 1


def test_late_readings_are_counted_and_score_nothing(
    broker: MemoryBroker, detector: Detector
) -> None:
    series = messages("pump-7", builders.sensor_series(20))
    broker.append([*series, series[3]])

    setup = Setup(broker, detector)
    setup.read_all()

    assert setup.metric("pipeline_readings_late_total") == 1
    scored = setup.metric("pipeline_windows_scored_total", device="cpu")
    assert scored == 20 - (WINDOW - 1)


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
        refusing.setattr(MemoryConsumer, "commit", _raising(refused))
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
    broker.append(messages("new", builders.sensor_series(WINDOW)))
    setup.read_all()

    scored = setup.metric("pipeline_windows_scored_total", device="cpu")
    assert scored == scored_before + 1
    assert setup.metric("pipeline_incidents_open") == 0
    assert {alert.unit for alert in setup.alerts()} == {"gone"}


def test_a_reading_of_a_day_ago_is_a_day_behind(
    broker: MemoryBroker, detector: Detector
) -> None:
    value = builders.reading_json("pump-7", time.time() - 86_400, {})
    broker.append([Message("readings", value)])

    setup = Setup(broker, detector)
    setup.read_all()

    lag_s = setup.metric("pipeline_event_time_lag_seconds")
    assert lag_s == pytest.approx(86_400, abs=60)


def test_a_stop_finishes_the_batch_in_hand(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", builders.sensor_series(20)))
    setup = Setup(broker, detector, max_records=100)
    stop = threading.Event()
    original = setup.consumer.poll

    def poll_and_stop(max_records: int, timeout_s: float) -> object:
        stop.set()
        return original(max_records, timeout_s)

    setup.consumer.poll = poll_and_stop  # type: ignore[method-assign,assignment]

    setup.worker.run(stop)
    setup.worker.close(1.0)

    assert list(broker.committed("workers").values()) == [20]
    assert setup.metric("pipeline_readings_total") == 20


def _raising(error: MessageTooLarge | TransportError) -> object:
    def call(*args: object) -> None:
        raise error

    return call


def test_a_poll_of_large_records_is_worth_several_turns_each_committed(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = messages("pump-7", faulty_series())
    broker.append(series)
    monkeypatch.setattr(worker, "MAX_TURN_BYTES", 3 * len(series[0].value or b""))
    setup = Setup(broker, detector, max_records=N_READINGS)

    turn = setup.worker.run_once()

    assert turn is not None
    n_taken = len(turn.records.records)
    assert 1 <= n_taken <= 3
    assert list(broker.committed("workers").values()) == [n_taken]
    setup.read_all()
    assert setup.metric("pipeline_readings_total") == N_READINGS
    assert setup.alerts()[0].state == "opened"
