"""`pipeline run --processes 2` as a user meets it, on a real Kafka."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.alert import decode
from pipeline.detector import artifact
from pipeline.records import Message
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from tests import builders
from tests.processes import WorkerProcess
from tests.support import read, unique_name, wait_until

WINDOW = 8
N_READINGS = 120
FAULT = slice(60, 90)
UNITS = [f"pump-{i}" for i in range(12)]
N_PARTITIONS = 4


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
        "PIPELINE_PROCESSES": "2",
        # Members hear of each other sooner than by default.
        "PIPELINE_KAFKA__SESSION_TIMEOUT_S": "6",
        "PIPELINE_DETECTOR": str(detector_folder),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": make_topic(N_PARTITIONS),
        "PIPELINE_KAFKA__ALERTS_TOPIC": make_topic(1),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": make_topic(1),
    }


def send(settings: dict[str, str]) -> int:
    """Readings of every unit, each with one fault; returns how many."""
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[FAULT, 1] += 100.0
    messages = [
        Message(
            topic=settings["PIPELINE_KAFKA__READINGS_TOPIC"],
            key=unit.encode(),
            value=builders.reading_json(
                unit, 1.7e9 + i, dict(zip(builders.SENSORS, row, strict=True))
            ),
        )
        for i, row in enumerate(np.asarray(values_NF).tolist())
        for unit in UNITS
    ]
    producer = KafkaPythonProducer(
        bootstrap_servers=settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    )
    try:
        producer.send(messages)
    finally:
        producer.close(5)
    return len(messages)


def opened(settings: dict[str, str], n_alerts: int) -> list[str]:
    """The units of the incidents opened among so many alerts."""
    consumer = KafkaPythonConsumer(
        bootstrap_servers=settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"],
        group_id=unique_name("reader"),
        topic=settings["PIPELINE_KAFKA__ALERTS_TOPIC"],
    )
    try:
        alerts = [decode(record.value or b"") for record in read(consumer, n_alerts)]
    finally:
        consumer.close(5)
    return sorted(alert.unit for alert in alerts if alert.state == "opened")


def by_process(worker: WorkerProcess, metric: str) -> dict[str, float]:
    """A metric's value for each process."""
    return {
        sample.labels["process"]: sample.value
        for family in text_string_to_metric_families(worker.get("/metrics")[1])
        for sample in family.samples
        if sample.name == metric
    }


def n_stopped(worker: WorkerProcess) -> dict[object, int]:
    """What each process that has stopped in order says it has read."""
    return {
        event["process"]: int(str(event["n_readings"]))
        for event in worker.log_events()
        if event["event"] == "worker_stopped"
    }


def test_they_share_the_partitions_and_every_reading_is_counted_once(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        assert by_process(worker, "pipeline_partitions_assigned") == {"0": 2.0, "1": 2.0}
        n_readings = send(settings)
        worker.wait_until_read(n_readings)
        wait_until(
            lambda: worker.metric("pipeline_incidents_closed_total") == len(UNITS),
            "every incident is closed",
        )
        n_alerts = int(worker.metric("pipeline_alerts_sent_total"))

        assert worker.get("/healthz")[0] == 200
        n_of_each = by_process(worker, "pipeline_readings_total")
        assert sorted(n_of_each) == ["0", "1"]
        assert all(n_of_each.values())
        assert sum(n_of_each.values()) == n_readings
        assert opened(settings, n_alerts) == sorted(UNITS)
        assert {e.get("process") for e in worker.log_events()} == {None, 0, 1}


def test_sigterm_loses_nothing_and_leaves_nothing_behind(
    settings: dict[str, str], tmp_path: Path
) -> None:
    small_batches = {**settings, "PIPELINE_POLL__MAX_RECORDS": "5"}
    n_readings = send(settings)

    with WorkerProcess(small_batches, tmp_path / "first") as first:
        first.wait_until_read(100)
        children = first.children()
        assert first.stop() == 0
        n_first = sum(n_stopped(first).values())
    # Or there was nothing left for the second to lose.
    assert 0 < n_first < n_readings
    assert len(children) == 2
    assert not any(Path(f"/proc/{child}").exists() for child in children)

    alone = {**settings, "PIPELINE_PROCESSES": "1"}
    with WorkerProcess(alone, tmp_path / "second") as second:
        second.wait_until_read(n_readings - n_first)
        assert second.stop() == 0
        (stopped,) = [e for e in second.log_events() if e["event"] == "worker_stopped"]
        assert stopped["n_readings"] == n_readings - n_first


def test_if_one_is_killed_the_others_stop_and_the_whole_ends_with_a_line(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        victim = worker.children()[1]
        os.kill(victim, signal.SIGKILL)

        assert worker.process.wait(30) == 128 + signal.SIGKILL

    last_line = (tmp_path / "log").read_text().splitlines()[-1]
    assert last_line == "error: process 1 was killed by SIGKILL"
    assert list(n_stopped(worker)) == [0]


def test_if_the_owner_is_killed_they_stop_in_order(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        worker.process.kill()
        worker.process.wait()

        wait_until(lambda: set(n_stopped(worker)) == {0, 1}, "both have stopped")


def test_ctrl_c_reaches_all_of_them_and_counts_once(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        children = worker.children()
        for pid in (worker.process.pid, *children):
            os.kill(pid, signal.SIGINT)

        assert worker.process.wait(30) == 0
        assert set(n_stopped(worker)) == {0, 1}


def test_a_second_signal_does_not_wait_for_them(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        children = worker.children()
        for child in children:
            os.kill(child, signal.SIGSTOP)
        worker.process.send_signal(signal.SIGTERM)
        wait_until(
            lambda: "stopping" in [e["event"] for e in worker.log_events()],
            "it is stopping",
        )

        def are_gone() -> bool:
            if any(Path(f"/proc/{child}").exists() for child in children):
                # One that comes at once is still the first.
                worker.process.send_signal(signal.SIGTERM)
                return False
            return True

        wait_until(are_gone, "they are killed")
        assert worker.process.wait(30) == 128 + signal.SIGTERM


def test_what_ends_them_all_is_said_once(settings: dict[str, str], tmp_path: Path) -> None:
    nowhere = {**settings, "PIPELINE_DETECTOR": "/nowhere"}
    with WorkerProcess(nowhere, tmp_path / "log") as worker:
        assert worker.process.wait(60) == 2

    failed, said = [e for e in worker.log_events() if "/nowhere" in str(e)]
    line = str(said["event"])
    assert re.match(r"error: process \d ended with exit code 2: /nowhere", line)
    assert (failed["event"], failed["exit_code"]) == ("worker_failed", 2)
    assert line == f"error: {failed['detail']}"


def test_a_port_in_use_is_one_line_before_any_of_them_starts(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = {**settings, "PIPELINE_HTTP__PORT": port}
        with WorkerProcess(given, tmp_path / "log") as worker:
            assert worker.process.wait(60) == 2

    _, line = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(f"error: cannot listen on 127.0.0.1:{port}")
