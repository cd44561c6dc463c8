"""The loop, on the in-memory transport: what is published, committed and counted."""

import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from pipeline import inbox, offsets, worker
from pipeline.alert import Alert, decode
from pipeline.detector.detector import Detector
from pipeline.detector.scaling import Scaling
from pipeline.errors import StreamUnreadable, TransportError
from pipeline.records import Message
from pipeline.settings import DriftSettings
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from tests import builders
from tests.pipeline.drift.watching import knowing_detector
from tests.workers import FAULT, N_READINGS, WINDOW, Setup, faulty_series, messages, raising


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
    unit_days = (N_READINGS - 1) / 86_400
    assert setup.metric("pipeline_unit_days_watched_total") == pytest.approx(unit_days)
    per_unit_day = setup.metric("pipeline_incidents_per_unit_day", over="1h")
    assert per_unit_day == pytest.approx(1 / unit_days)


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
        MemoryProducer, "send", raising(TransportError("down", retriable=False))
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


def test_records_are_counted_whether_they_hold_many_readings_or_none(
    broker: MemoryBroker, detector: Detector
) -> None:
    one, *others = messages("pump-7", builders.sensor_series(20))
    array = b"[" + b",".join(other.value or b"" for other in others) + b"]"
    broker.append([one, replace(one, value=array), replace(one, value=b"garbage")])

    setup = Setup(broker, detector)
    setup.read_all()

    assert setup.metric("pipeline_records_read_total") == 3
    assert setup.metric("pipeline_readings_total") == 20


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


def test_while_records_keep_coming_offsets_are_committed_once_an_interval(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50, commit_interval_s=3_600.0)

    setup.worker.run_once()
    first = sum(broker.committed("workers").values())
    setup.worker.run_once()
    second = sum(broker.committed("workers").values())
    setup.read_all()

    assert (first, second) == (50, 50)
    # Nothing more came: what is finished waits for nothing.
    assert sum(broker.committed("workers").values()) == N_READINGS


def test_what_stops_the_worker_is_committed_first(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", faulty_series()[:20]))
    broker.append([Message("readings", b"garbage", key=b"pump-7")] * 20)
    setup = Setup(
        broker, detector, max_fraction=0.1, max_records=20, commit_interval_s=3_600.0
    )
    setup.worker.run_once()

    with pytest.raises(StreamUnreadable):
        setup.read_all()

    assert sum(broker.committed("workers").values()) == 40


def test_a_poll_of_large_records_is_worth_several_turns_each_committed(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = messages("pump-7", faulty_series())
    broker.append(series)
    monkeypatch.setattr(inbox, "MAX_TURN_BYTES", 3 * len(series[0].value or b""))
    setup = Setup(broker, detector, max_records=N_READINGS)

    turn = setup.worker.run_once()

    assert turn is not None
    n_taken = len(turn.records.records)
    assert 1 <= n_taken <= 3
    assert list(broker.committed("workers").values()) == [n_taken]
    setup.read_all()
    assert setup.metric("pipeline_readings_total") == N_READINGS
    assert setup.alerts()[0].state == "opened"


def test_a_unit_that_the_detector_was_not_trained_on_is_named_in_the_log(
    broker: MemoryBroker, detector: Detector
) -> None:
    pooled = detector.scaling.pooled
    scaling = Scaling(pooled, ["pump-7"], pooled.mean_F[None], pooled.scale_F[None])
    for unit in ("pump-7", "pump-8", "pump-9"):
        broker.append(messages(unit, faulty_series()))
    setup = Setup(broker, replace(detector, scaling=scaling))

    with capture_logs() as lines:
        setup.read_all()

    told = [line["unit"] for line in lines if line["event"] == "unit_not_trained_on"]
    assert sorted(told) == ["pump-8", "pump-9"]


def test_work_whose_alerts_were_not_acknowledged_is_not_committed_on_the_way_out(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50, commit_interval_s=3_600.0)
    setup.worker.run_once()
    refused = TransportError("broker is gone", retriable=False)
    monkeypatch.setattr(MemoryProducer, "send", raising(refused))

    with pytest.raises(TransportError):
        setup.read_all()
    setup.worker.close(1.0)

    assert sum(broker.committed("workers").values()) == 50


def test_while_commits_are_postponed_for_long_nothing_more_is_read(
    broker: MemoryBroker, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50)
    monkeypatch.setattr(offsets, "MAX_POSTPONED_S", 0.0)
    monkeypatch.setattr(worker, "PUBLISH_AGAIN_S", 0.0)
    commit = setup.consumer.commit
    refused = TransportError("a rebalance is under way", retriable=True)
    monkeypatch.setattr(setup.consumer, "commit", raising(refused))

    for _ in range(5):
        setup.worker.run_once()

    assert setup.metric("pipeline_readings_total") == 50
    assert (setup.metric("pipeline_commits_total", outcome="postponed") or 0) > 0
    assert setup.metric("pipeline_commits_total", outcome="done") == 0
    assert not setup.health.readiness(0.0)["broker_takes_alerts"]

    monkeypatch.setattr(setup.consumer, "commit", commit)
    setup.worker.run_once()
    setup.read_all()

    assert list(broker.committed("workers").values()) == [N_READINGS]
    assert (setup.metric("pipeline_commits_total", outcome="done") or 0) > 0
    assert setup.health.readiness(0.0)["broker_takes_alerts"]


def test_a_batch_waits_from_its_poll_to_its_turn(
    broker: MemoryBroker, detector: Detector
) -> None:
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, max_records=50)

    setup.read_all()

    assert setup.metric("pipeline_queue_wait_seconds_count") == N_READINGS / 50


def test_readings_are_held_against_those_that_were_learned_from(
    broker: MemoryBroker, tmp_path: Path
) -> None:
    learned_NF = builders.sensor_series(1_000)
    loaded = knowing_detector(tmp_path / "pumps", learned_NF)
    broken_NF = builders.sensor_series(N_READINGS).copy()
    broken_NF[:, 2] = 1e6
    broker.append(messages("pump-7", broken_NF))

    setup = Setup(
        broker,
        loaded.detector,
        max_records=N_READINGS,
        drift=DriftSettings(),
        loaded=loaded,
    )
    setup.read_all()

    def shown(name: str, sensor: str) -> float | None:
        return setup.metric(f"pipeline_sensor_{name}", digest=loaded.digest, sensor=sensor)

    for name in ("out_of_range_ratio", "stuck_ratio"):
        assert [shown(name, sensor) for sensor in builders.SENSORS] == [0, 0, 1]

    setup.watch.found = setup.steps_of(replace(loaded, digest="sha256:1"))
    setup.read_all()

    page = generate_latest(setup.registry).decode()
    assert 'digest="sha256:1"' in page
    assert loaded.digest not in page
