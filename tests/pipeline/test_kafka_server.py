"""The local Kafka: it says when it can be used, and it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient

from pipeline.errors import InputError, PipelineError
from pipeline.kafka_runtime import new_folder, remove_stale_folders
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from tests.support import wait_until

REPOSITORY = Path(__file__).parents[2]
SERVE = "import sys; from pipeline.kafka_server import serve; serve(0, 5)"
TO_BE_KILLED = """
from pipeline.kafka_server import LocalKafka
kafka = LocalKafka()
kafka.start()
print("ready", kafka.bootstrap_servers, flush=True)
input()
"""


@contextmanager
def owner(code: str, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A Python process that runs a Kafka, and the servers to connect to."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert re.fullmatch(r"ready 127\.0\.0\.1:\d+\n", ready)
        yield process, ready.split()[1]
    finally:
        process.kill()
        process.communicate()


def processes_that_mention(text: Path) -> list[int]:
    """Ids of the processes with `text` in their command line: a folder is unique."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(text).encode() in read_bytes(path)
    ]


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process has ended
        return b""


def accepts(bootstrap_servers: str) -> bool:
    host, port = bootstrap_servers.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_with_0_on_a_signal_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    with owner(SERVE, tmp_path) as (process, bootstrap_servers):
        assert accepts(bootstrap_servers)
        assert processes_that_mention(tmp_path) != []

        process.send_signal(number)

        assert process.wait(timeout=30) == 0
        assert processes_that_mention(tmp_path) == []
        assert list(tmp_path.iterdir()) == []
        assert not accepts(bootstrap_servers)


def test_serve_creates_topics_on_first_use_with_the_partitions_asked_for(
    tmp_path: Path,
) -> None:
    with owner(SERVE, tmp_path) as (_, bootstrap_servers):
        producer = KafkaPythonProducer(bootstrap_servers=bootstrap_servers)
        producer.send([Message("first-use", b"value")])
        producer.close(5.0)

        admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
        (topic,) = admin.describe_topics(["first-use"])
        admin.close()

    assert len(topic["partitions"]) == 5


def test_nothing_is_left_of_a_kafka_whose_owner_is_killed(tmp_path: Path) -> None:
    with owner(TO_BE_KILLED, tmp_path) as (process, bootstrap_servers):
        assert accepts(bootstrap_servers)

        process.kill()

        wait_until(lambda: not processes_that_mention(tmp_path), "Java is gone")
        wait_until(lambda: not list(tmp_path.iterdir()), "the folder is gone")


def test_a_kafka_that_ends_by_itself_ends_serve_with_an_error(tmp_path: Path) -> None:
    with owner(SERVE, tmp_path) as (process, _):
        for process_id in processes_that_mention(tmp_path):
            # The last one: Java itself, which the process between us and it survives.
            if b"kafka.Kafka\0" in read_bytes(Path(f"/proc/{process_id}/cmdline")):
                os.kill(process_id, signal.SIGKILL)

        assert process.wait(timeout=30) != 0
        assert list(tmp_path.iterdir()) == []


def test_a_kafka_that_is_restarted_has_kept_everything() -> None:
    with LocalKafka() as kafka:
        KafkaPythonProducer(bootstrap_servers=kafka.bootstrap_servers).send(
            [Message("readings", b"1")]
        )

        kafka.restart()

        consumer = KafkaPythonConsumer(
            bootstrap_servers=kafka.bootstrap_servers, group_id="g", topic="readings"
        )
        wait_until(lambda: bool(consumer.poll(1, 0.5).records), "the record is there")
        consumer.close(5.0)


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(InputError, match=rf"127\.0\.0\.1:{port}: .*in use"):
            LocalKafka(port).start()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"port": 70_000}, "port"), ({"n_partitions": 0}, "partitions")],
)
def test_a_value_out_of_range_is_refused(
    arguments: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        LocalKafka(**arguments)


def test_java_that_dies_is_one_clear_line_with_the_end_of_its_log(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = temporary / "java"
    java.write_text("#!/bin/sh\necho could not reserve memory\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setattr("pipeline.kafka_server.java_command", lambda: [str(java)])

    with pytest.raises(PipelineError, match=r"did not start.*not reserve memory"):
        LocalKafka().start()

    assert list(temporary.iterdir()) == [java]


def test_without_the_optional_packages_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)

    with pytest.raises(InputError, match="local-kafka"):
        LocalKafka().start()


def test_a_failed_download_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(coordinates: str) -> None:
        raise ConnectionError("no route to the repository")

    monkeypatch.setattr("jgo.build", build)

    with pytest.raises(PipelineError, match=r"download.*no route to the repository"):
        LocalKafka().start()


def test_folders_that_nobody_uses_are_removed_and_others_are_not(
    temporary: Path,
) -> None:
    with new_folder() as (stale, _):
        pass
    with new_folder() as (in_use, _):
        remove_stale_folders()

        assert not stale.exists()
        assert in_use.exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary files are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path
