"""`pipeline redrive` as a user meets it, on a real Kafka."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kafka import KafkaProducer

from pipeline.dead_letter import dead_letter
from pipeline.detector import artifact
from pipeline.records import Message, Record, Reject
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from pipeline.transport.memory_broker import MemoryRecord
from tests import builders
from tests.processes import WorkerProcess, command
from tests.support import read, unique_name, values

CLIENTS = ["kafka-python", "confluent"]
BAD = b"\xff{not JSON"


def redrive(
    servers: str, dead_letters_topic: str, *options: str, client: str = CLIENTS[0]
) -> subprocess.CompletedProcess[str]:
    settings = {
        "kafka.bootstrap_servers": servers,
        "kafka.dead_letters_topic": dead_letters_topic,
        "kafka.client": client,
    }
    assignments = [f"--set={name}={value}" for name, value in settings.items()]
    return command("pipeline", "redrive", *assignments, *options)


def send(servers: str, messages: list[Message]) -> None:
    producer = KafkaPythonProducer(bootstrap_servers=servers)
    try:
        producer.send(messages)
    finally:
        producer.close(5)


def received(servers: str, topic: str, n_records: int) -> list[Record]:
    consumer = KafkaPythonConsumer(
        bootstrap_servers=servers, group_id=unique_name("reader"), topic=topic
    )
    try:
        return read(consumer, n_records)
    finally:
        consumer.close(5)


@pytest.mark.parametrize("client", CLIENTS)
def test_each_goes_back_once_whatever_the_calls(
    client: str, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    readings, dead = make_topic(2), make_topic(3)
    originals = [
        MemoryRecord(readings, 0, i, 1_700_000_000_000 + i, b"%d" % i, b"v%d" % i, ())
        for i in range(30)
    ]
    reasons = ["not_json", "bad_time"] * 15
    send(
        kafka_bootstrap_servers,
        [
            dead_letter(Reject(original, reason, "-"), dead)
            for original, reason in zip(originals, reasons, strict=True)
        ],
    )

    def said(*options: str) -> list[str]:
        done = redrive(kafka_bootstrap_servers, dead, *options, client=client)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    assert said("--dry-run")[0] == "would send 30: bad_time 15, not_json 15"
    assert said("--reason", "bad_time", "--limit", "10")[0] == "sent 10: bad_time 10"
    assert said()[0] == "sent 20: bad_time 5, not_json 15"
    assert said()[0] == "sent 0"
    back = received(kafka_bootstrap_servers, readings, 30)
    assert sorted((r.timestamp, r.key, r.value, tuple(r.headers)) for r in back) == [
        (r.timestamp, r.key, r.value, ()) for r in originals
    ]


def test_two_calls_at_once_send_each_once(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    readings, dead = make_topic(1), make_topic(4)
    originals = [
        MemoryRecord(readings, 0, i, -1, b"%d" % i, b"%d" % i, ()) for i in range(2_000)
    ]
    send(
        kafka_bootstrap_servers,
        [dead_letter(Reject(original, "not_json", "-"), dead) for original in originals],
    )

    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(redrive, kafka_bootstrap_servers, dead) for _ in range(2)]
    assert [call.result().returncode for call in calls] == [0, 0]
    assert redrive(kafka_bootstrap_servers, dead).stdout == "sent 0\n"

    back = received(kafka_bootstrap_servers, readings, 2_000)
    assert values(back) == list(range(2_000))


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_transaction_took_back_is_not_sent(
    client: str, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    readings, dead = make_topic(1), make_topic(1)
    headers = [("dead-letter-topic", readings.encode())]
    producer = KafkaProducer(
        bootstrap_servers=kafka_bootstrap_servers, transactional_id=unique_name("t")
    )
    producer.init_transactions()
    for value in (b"taken back", b"kept"):
        producer.begin_transaction()
        producer.send(dead, value, headers=headers)
        producer.flush()
        if value == b"kept":
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()

    done = redrive(kafka_bootstrap_servers, dead, client=client)

    assert done.stdout == "sent 1: unknown 1\n"
    assert received(kafka_bootstrap_servers, readings, 1)[0].value == b"kept"


def test_the_worker_reads_the_same_bytes_again(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str], tmp_path: Path
) -> None:
    detector = builders.quiet_detector(200, 8)
    reference_BTF, golden_NF = builders.REFERENCE_BTF, builders.GOLDEN_NF
    manifest = builders.manifest(detector)
    artifact.save(tmp_path / "pumps", detector, golden_NF, reference_BTF, manifest)
    readings, dead = make_topic(1), make_topic(1)
    settings = {
        "PIPELINE_DETECTOR": str(tmp_path / "pumps"),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": readings,
        "PIPELINE_KAFKA__ALERTS_TOPIC": make_topic(1),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": dead,
    }
    send(
        kafka_bootstrap_servers,
        [Message(readings, BAD, b"pump-7", [("trace", b"\x01")], 1_700_000_000_123)],
    )

    with WorkerProcess(settings, tmp_path / "log"):
        received(kafka_bootstrap_servers, dead, 1)
        done = redrive(kafka_bootstrap_servers, dead)
        first, second = received(kafka_bootstrap_servers, dead, 2)

    assert done.stdout == "sent 1: not_json 1\n"
    assert (second.value, second.key, second.timestamp) == (
        BAD,
        b"pump-7",
        1_700_000_000_123,
    )
    headers = [dict(each.headers) for each in (first, second)]
    assert [h["dead-letter-offset"] for h in headers] == [b"0", b"1"]
    assert [h["trace"] for h in headers] == [b"\x01", b"\x01"]


def test_a_wrong_option_or_topic_is_one_line_and_exit_code_2(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    dead = make_topic(1)

    same = redrive(kafka_bootstrap_servers, dead, "--to-topic", dead)

    assert same.returncode == 2
    assert same.stderr == f"error: --to-topic {dead}: that is where the dead letters are\n"
    assert redrive(kafka_bootstrap_servers, dead, "--limit", "0").returncode == 2
