"""`pipeline run` when Kafka hangs: it ends within its time, and nothing is lost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.detector import artifact
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message
from pipeline.transport.kafka_python import KafkaPythonProducer
from tests import builders
from tests.processes import STOP_TIMEOUT_S, WorkerProcess, hung
from tests.support import unique_name, wait_until

WINDOW = 8
N_READINGS = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[LocalKafka]:
    """A Kafka of its own: others would not like it to hang."""
    with LocalKafka() as server:
        yield server


@pytest.fixture
def settings(server: LocalKafka, tmp_path: Path) -> dict[str, str]:
    """A detector to which everything is an anomaly, so that every batch has alerts."""
    detector = builders.detector(window=WINDOW, threshold=1e-9)
    manifest = builders.manifest(detector)
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    artifact.save(tmp_path / "d", detector, golden_NF, reference_BTF, manifest)
    return {
        "PIPELINE_DETECTOR": str(tmp_path / "d"),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": server.bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": unique_name("readings"),
        "PIPELINE_POLL__MAX_RECORDS": "50",
    }


def send(settings: dict[str, str]) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    producer = KafkaPythonProducer(
        bootstrap_servers=settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    )
    values = dict.fromkeys(builders.SENSORS, 1.0)
    producer.send(
        [
            Message(
                topic, builders.reading_json(f"pump-{i % 1000}", 1.7e9 + i, values), b"k"
            )
            for i in range(N_READINGS)
        ]
    )
    producer.close(5)


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_kafka_that_hangs_does_not_keep_it_from_ending(
    server: LocalKafka, settings: dict[str, str], tmp_path: Path, is_busy: bool
) -> None:
    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        if is_busy:
            send(settings)
            wait_until(
                lambda: worker.metric("pipeline_alerts_sent_total") > 0, "alerts are sent"
            )
        with hung(server):
            worker.process.send_signal(signal.SIGTERM)
            exit_code = worker.process.wait(STOP_TIMEOUT_S)

    # 0 if it waited for readings, 1 if the batch in hand could not be published.
    assert exit_code in (0, 1)
    if exit_code == 1:
        assert (tmp_path / "log").read_text().splitlines()[-1].startswith("error: ")
