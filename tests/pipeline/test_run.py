"""`pipeline run` as a process on a real Kafka."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from pipeline.alert import Alert, decode
from pipeline.detector import artifact
from pipeline.records import Message, Record
from pipeline.times import parse_iso_s
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from tests import builders
from tests.processes import WorkerProcess
from tests.support import read, unique_name, wait_until

WINDOW = 8
N_READINGS = 300
FAULT = slice(150, 180)
N_PARTITIONS = 3


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its threshold is above every score of the series without the fault."""
    detector = builders.quiet_detector(N_READINGS, WINDOW)
    folder = tmp_path_factory.mktemp("detectors") / "pumps"
    manifest = builders.manifest(detector)
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    artifact.save(folder, detector, golden_NF, reference_BTF, manifest)
    return folder


@pytest.fixture
def settings(
    detector_folder: Path,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
) -> dict[str, str]:
    return {
        "PIPELINE_DETECTOR": str(detector_folder),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": make_topic(N_PARTITIONS),
        "PIPELINE_KAFKA__ALERTS_TOPIC": make_topic(1),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": make_topic(1),
    }


def readings(
    topic: str, unit: str, first: int = 0, last: int = N_READINGS
) -> list[Message]:
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[FAULT, 1] += 100.0
    return [
        Message(
            topic=topic,
            key=unit.encode(),
            value=builders.reading_json(
                unit, 1.7e9 + i, dict(zip(builders.SENSORS, row, strict=True))
            ),
        )
        for i, row in enumerate(np.asarray(values_NF).tolist())
    ][first:last]


def send(settings: dict[str, str], messages: list[Message]) -> None:
    producer = KafkaPythonProducer(
        bootstrap_servers=settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    )
    try:
        producer.send(messages)
    finally:
        producer.close(5)


def received(settings: dict[str, str], topic_setting: str, n_records: int) -> list[Record]:
    """The first records of a topic, as an ordinary consumer reads them."""
    consumer = KafkaPythonConsumer(
        bootstrap_servers=settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"],
        group_id=unique_name("reader"),
        topic=settings[topic_setting],
    )
    try:
        return read(consumer, n_records)
    finally:
        consumer.close(5)


def alerts(settings: dict[str, str], n_alerts: int) -> list[Alert]:
    records = received(settings, "PIPELINE_KAFKA__ALERTS_TOPIC", n_alerts)
    return [decode(record.value or b"") for record in records]


def test_a_new_group_reads_from_the_start_and_tells_of_every_incident(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    units = [f"pump-{i}" for i in range(5)]
    send(settings, [m for unit in units for m in readings(topic, unit)])

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        worker.wait_until_read(5 * N_READINGS)
        n_alerts = int(worker.metric("pipeline_alerts_sent_total"))
        found = received(settings, "PIPELINE_KAFKA__ALERTS_TOPIC", n_alerts)

    schema = json.loads(Path("pipeline/alert.schema.json").read_text())
    for record in found:
        jsonschema.validate(json.loads(record.value or b""), schema)
    states = [(a.unit, a.state) for a in (decode(r.value or b"") for r in found)]
    for unit in units:
        of_unit = [state for u, state in states if u == unit]
        assert (of_unit[0], of_unit[-1]) == ("opened", "closed")


def test_alerts_hold_latent_vectors_if_they_are_to(
    settings: dict[str, str], tmp_path: Path
) -> None:
    settings["PIPELINE_ALERT__EMBEDDING"] = "true"
    send(settings, readings(settings["PIPELINE_KAFKA__READINGS_TOPIC"], "pump-7"))

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        worker.wait_until_read(N_READINGS)
        n_alerts = int(worker.metric("pipeline_alerts_sent_total"))
        found = received(settings, "PIPELINE_KAFKA__ALERTS_TOPIC", n_alerts)

    assert found
    schema = json.loads(Path("pipeline/alert.schema.json").read_text())
    for record in found:
        alert = json.loads(record.value or b"")
        jsonschema.validate(alert, schema)
        assert len(alert["embedding"]) == 4


def test_the_three_pages_tell_what_it_does(
    settings: dict[str, str], tmp_path: Path
) -> None:
    send(settings, readings(settings["PIPELINE_KAFKA__READINGS_TOPIC"], "pump-7"))

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        worker.wait_until_read(N_READINGS)

        assert worker.get("/healthz")[0] == 200
        assert worker.metric("pipeline_partitions_assigned") == N_PARTITIONS
        assert worker.metric("pipeline_windows_scored_total") == N_READINGS - WINDOW + 1
        wait_until(
            lambda: worker.metric("pipeline_consumer_lag_records") == 0, "the lag is 0"
        )
        assert worker.metric("pipeline_ready") == 1
        assert worker.metric("pipeline_false_alarms_promised_per_unit_day") == 0
        watched = worker.metric("pipeline_unit_days_watched_total")
        assert watched == pytest.approx((N_READINGS - 1) / 86_400)


def test_sigterm_loses_nothing_and_ends_with_0(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    units = [f"pump-{i}" for i in range(4)]
    small_batches = {**settings, "PIPELINE_POLL__MAX_RECORDS": "5"}
    send(settings, [m for unit in units for m in readings(topic, unit)])

    n_read = 0
    with WorkerProcess(small_batches, tmp_path / "first") as first:
        first.wait_until_read(100)
        n_read += _stop_and_count(first)
    # Or there was nothing left for the second to lose.
    assert 0 < n_read < 4 * N_READINGS
    with WorkerProcess(small_batches, tmp_path / "second") as second:
        second.wait_until_read(4 * N_READINGS - n_read)
        n_read += int(second.metric("pipeline_readings_total"))

        assert n_read == 4 * N_READINGS
        assert second.stop() == 0


def _stop_and_count(worker: WorkerProcess) -> int:
    """SIGTERM a worker in the middle of its work; returns how many readings it took."""
    assert worker.stop() == 0
    (stopped,) = [e for e in worker.log_events() if e["event"] == "worker_stopped"]
    return int(str(stopped["n_readings"]))


def test_a_sigkill_repeats_work_and_loses_none(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    fast_takeover = {**settings, "PIPELINE_KAFKA__SESSION_TIMEOUT_S": "6"}
    send(settings, readings(topic, "pump-7", last=100))
    with WorkerProcess(fast_takeover, tmp_path / "first") as first:
        first.wait_until_read(100)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()

    send(settings, readings(topic, "pump-7", first=100))
    with WorkerProcess(fast_takeover, tmp_path / "second") as second:
        second.wait_until_read(N_READINGS - 100)

        states = [alert.state for alert in alerts(settings, 2)]
        assert (states[0], states[-1]) in {("opened", "closed"), ("opened", "updated")}


def test_garbage_is_dead_lettered_and_good_readings_go_on(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    garbage = [b"", b"\xff\x00", b"[1]", b'{"unit": "pump-7"}', b"x" * 900_000, None]
    bad = [Message(topic, value, b"key", [("trace", b"7")]) for value in garbage]

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        send(settings, [*bad, *readings(topic, "pump-7")])
        worker.wait_until_read(N_READINGS)
        dead = received(settings, "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC", len(bad))

        assert [r.value for r in dead] == garbage
        assert {r.key for r in dead} == {b"key"}
        for record in dead:
            headers = dict(record.headers)
            assert headers["trace"] == b"7"
            assert headers["dead-letter-reason"]
            assert headers["dead-letter-topic"] == topic.encode()
        assert worker.stop() == 0


def test_a_stream_of_garbage_stops_it_with_one_clear_line(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    send(settings, [Message(topic, b"garbage") for _ in range(200)])

    with WorkerProcess(settings, tmp_path / "log") as worker:
        assert worker.process.wait(60) == 1

    *_, failed, said = worker.log_events()
    assert (failed["event"], failed["exit_code"]) == ("worker_failed", 1)
    assert "PIPELINE_REJECTS__MAX_FRACTION" in str(failed["detail"])
    assert said["event"] == f"error: {failed['detail']}"


def n_read(worker: WorkerProcess) -> float:
    return worker.metric("pipeline_records_read_total")


def test_no_kind_of_reject_hides_another_and_all_are_told_of_by_the_end(
    settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    settings["PIPELINE_REJECTS__MAX_FRACTION"] = "1"
    no_time = b'{"unit": "pump-7", "time": "noon", "values": {}}'

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        send(settings, [Message(topic, b"garbage")] * 500)
        wait_until(lambda: n_read(worker) == 500, "the first are read")
        send(settings, [Message(topic, no_time)])
        wait_until(lambda: n_read(worker) == 501, "the last is read")
        assert worker.stop() == 0

    events = worker.log_events()
    reasons = [e["reason"] for e in events if e["event"] == "record_rejected"]
    told = [e for e in events if e["event"] == "lines_left_out"]
    assert reasons == ["not_json"] * 60 + ["bad_time"]
    assert [(e["of"], e["reason"], e["n_suppressed"]) for e in told] == [
        ("record_rejected", "not_json", 440)
    ]
    assert events[-1]["event"] == "worker_stopped"


def test_a_signal_that_is_passed_on_as_well_does_not_cut_the_batch_short(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        for _ in range(5):
            worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0

    assert worker.log_events()[-1]["event"] == "worker_stopped"


def test_two_workers_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    settings: dict[str, str], tmp_path: Path
) -> None:
    def assigned(worker: WorkerProcess) -> float:
        return worker.metric("pipeline_partitions_assigned")

    with (
        WorkerProcess(settings, tmp_path / "one") as one,
        WorkerProcess(settings, tmp_path / "other") as other,
    ):
        wait_until(
            lambda: sorted((assigned(one), assigned(other))) == [1, 2],
            "each has partitions",
            timeout_s=60,
        )
        assert one.stop() == 0
        wait_until(lambda: assigned(other) == N_PARTITIONS, "the other has them all")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PIPELINE_POLL__MAX_RECORDS", "0", "PIPELINE_POLL__MAX_RECORDS"),
        ("PIPELINE_DETECTOR", "/nowhere", "/nowhere"),
        ("PIPELINE_DEVICE", "abacus", "abacus"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_exit_code_2(
    settings: dict[str, str], tmp_path: Path, name: str, value: str, expected: str
) -> None:
    with WorkerProcess({**settings, name: value}, tmp_path / "log") as worker:
        assert worker.process.wait(60) == 2

    # What cannot be read says nothing of how to log, either.
    *_, line = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("error: ")
    assert expected in line


def test_an_unreachable_kafka_is_one_line_and_exit_code_1(
    settings: dict[str, str], tmp_path: Path
) -> None:
    nowhere = {
        **settings,
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PIPELINE_KAFKA__CONNECT_TIMEOUT_S": "1",
    }
    with WorkerProcess(nowhere, tmp_path / "log") as worker:
        assert worker.process.wait(60) == 1

    last_line = (tmp_path / "log").read_text().splitlines()[-1]
    assert last_line.startswith("error: Kafka 127.0.0.1:1: no server answered")


def test_virtual_sensors_are_published_and_can_be_read_as_readings(
    settings: dict[str, str], tmp_path: Path, make_topic: Callable[[int], str]
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    send(settings, readings(topic, "pump-7"))
    with_expected = {**settings, "PIPELINE_KAFKA__EXPECTED_TOPIC": make_topic(1)}
    n_scored = N_READINGS - WINDOW + 1

    with WorkerProcess(with_expected, tmp_path / "log") as worker:
        worker.wait_until_ready()
        worker.wait_until_read(N_READINGS)
        found = received(with_expected, "PIPELINE_KAFKA__EXPECTED_TOPIC", n_scored)

    sent = [json.loads(m.value or b"") for m in readings(topic, "pump-7")][WINDOW - 1 :]
    expected = [json.loads(record.value or b"") for record in found]
    assert [e["unit"] for e in expected] == [s["unit"] for s in sent]
    assert [parse_iso_s(e["time"]) for e in expected] == [s["time"] for s in sent]
    assert all(e["values"].keys() == set(builders.SENSORS) for e in expected)
