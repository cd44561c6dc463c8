"""TLS and SASL against a real Kafka that asks for them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.detector import artifact
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message
from pipeline.secured import secured
from pipeline.transport.choose import clients
from tests import builders
from tests.processes import WorkerProcess, without_settings
from tests.secure_kafka import (
    SECRETS,
    WAYS,
    Certificates,
    settings_for,
    settings_of,
    wrong_settings,
)
from tests.support import read, unique_name, wait_until

WINDOW = 8
N_READINGS = 120
FAULT = slice(60, 90)
CLIENTS = ["kafka-python", "confluent"]


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its threshold is above every score of the series without the fault."""
    detector = builders.quiet_detector(N_READINGS, WINDOW)
    folder = tmp_path_factory.mktemp("detectors") / "pumps"
    manifest = builders.manifest(detector)
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    artifact.save(folder, detector, golden_NF, reference_BTF, manifest)
    return folder


def opened(client: str, variables: Mapping[str, str], topic: str) -> tuple[Any, Any]:
    """A producer, and a consumer of a new group."""
    kafka = settings_of(variables, **{"kafka.client": client}).kafka
    ours = secured(clients(kafka.client), kafka)
    producer = ours.producer(bootstrap_servers=kafka.bootstrap_servers)
    consumer = ours.consumer(
        bootstrap_servers=kafka.bootstrap_servers, group_id=unique_name("g"), topic=topic
    )
    return producer, consumer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_both_clients_read_publish_and_commit(
    client: str, way: str, secure_broker: LocalKafka, pem: Certificates
) -> None:
    topic = unique_name("topic")
    producer, consumer = opened(client, settings_for(way, secure_broker, pem), topic)
    try:
        producer.send([Message(topic, b"reading", b"pump-7")])
        (record,) = read(consumer, 1)
        consumer.commit(dict.fromkeys(consumer.assignment(), record.offset + 1), 10.0)
    finally:
        producer.close(5.0)
        consumer.close(5.0)

    assert (record.key, record.value) == (b"pump-7", b"reading")


@pytest.mark.parametrize("what", ["a wrong password", "an unknown authority"])
def test_a_worker_that_is_refused_ends_with_one_line(
    what: str, secure_broker: LocalKafka, pem: Certificates, detector_folder: Path
) -> None:
    settings = wrong_settings(what, secure_broker, pem)

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "--detector", str(detector_folder)],
        env={**without_settings(), **settings, "PIPELINE_HTTP__PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("error: Kafka ")
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)


@pytest.mark.parametrize(
    ("client", "way", "n_processes"),
    [
        ("kafka-python", "PLAIN over TLS", 1),
        ("confluent", "SCRAM over TLS", 1),
        ("kafka-python", "client certificate", 2),
    ],
)
def test_a_worker_alerts_and_shows_no_secret_wherever_one_looks(
    client: str,
    way: str,
    n_processes: int,
    secure_broker: LocalKafka,
    pem: Certificates,
    detector_folder: Path,
    tmp_path: Path,
) -> None:
    topic = unique_name("readings")
    settings = {
        **settings_for(way, secure_broker, pem),
        "PIPELINE_DETECTOR": str(detector_folder),
        "PIPELINE_PROCESSES": str(n_processes),
        "PIPELINE_LOG__LEVEL": "debug",
        "PIPELINE_KAFKA__CLIENT": client,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": topic,
        "PIPELINE_KAFKA__ALERTS_TOPIC": unique_name("alerts"),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": unique_name("dead"),
    }
    producer, consumer = opened(client, settings, settings["PIPELINE_KAFKA__ALERTS_TOPIC"])
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[FAULT, 1] += 100.0
    try:
        producer.send(
            [
                Message(
                    topic,
                    builders.reading_json(
                        "pump-7", 1.7e9 + i, dict(zip(builders.SENSORS, row, strict=True))
                    ),
                    b"pump-7",
                )
                for i, row in enumerate(values_NF.tolist())
            ]
        )
        with WorkerProcess(settings, tmp_path / "log") as worker:
            worker.wait_until_read(N_READINGS)
            read(consumer, 1)
            wait_until(
                lambda: worker.metric("pipeline_consumer_lag_records") == 0, "the lag is 0"
            )
            pages = [worker.get(p)[1] for p in ("/metrics", "/healthz", "/readyz", "/")]
            pids = [worker.process.pid, *worker.children()]
            command_lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
            assert worker.stop() == 0
    finally:
        producer.close(5.0)
        consumer.close(5.0)

    log = (tmp_path / "log").read_text()
    assert ("SaslAuthenticateRequest" in log) == (way == "PLAIN over TLS")
    shown = "".join([log, *pages, *command_lines])
    for secret in SECRETS:
        for form in (secret, repr(secret)[1:-1], repr(secret.encode())[2:-1]):
            assert form not in shown
