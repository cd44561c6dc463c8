"""Synthetic readings on their way to Kafka."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.transport.kafka_python import KafkaPythonConsumer
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from tests.support import read, unique_name
from tests.trainer.training import Command
from trainer.synthetic.rows import Rows
from trainer.synthetic.send import Sender


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def rows(n_rows: int) -> Rows:
    return Rows(
        ["a", "b"],
        np.arange(n_rows) % 2,
        np.arange(n_rows) // 2,
        np.arange(n_rows, dtype=np.float32)[:, None],
        np.zeros(n_rows, dtype=np.bool_),
    )


@pytest.mark.parametrize("rate", [2.0, 50.0, 5_000.0])
def test_readings_are_sent_at_the_rate_with_the_times_they_are_due(rate: float) -> None:
    broker, clock = MemoryBroker(), Clock()
    told: list[int] = []
    sender = Sender(MemoryProducer(broker), "readings", ["x"], rate, clock.now, clock.sleep)

    sender.send(iter([rows(60), rows(40)]), told.append)

    sent = [json.loads(r.value or b"") for r in broker.records("readings")]
    assert [reading["values"]["x"] for reading in sent] == [*range(60), *range(40)]
    assert sender.n_sent == told[-1] == 100
    assert sender.took_s == pytest.approx(100 / rate)


def test_records_are_keyed_by_their_unit() -> None:
    broker, clock = MemoryBroker(), Clock()
    sender = Sender(MemoryProducer(broker), "readings", ["x"], 10, clock.now, clock.sleep)

    sender.send(iter([rows(4)]), lambda n_sent: None)

    assert [r.key for r in broker.records("readings")] == [b"a", b"b", b"a", b"b"]


def test_readings_come_through_a_real_kafka(
    folder: Path,
    run_trainer: Command,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
) -> None:
    topic = make_topic(2)

    ended = run_trainer(
        "sample",
        str(folder),
        *("-n", "200", "--continuous", "--units", "2", "--rate", "2000"),
        *("--to-kafka", kafka_bootstrap_servers, "--topic", topic),
    )

    assert ended.returncode == 0
    assert ended.stdout.startswith(f"200 readings sent to {topic}")
    consumer = KafkaPythonConsumer(
        bootstrap_servers=kafka_bootstrap_servers, group_id=unique_name("g"), topic=topic
    )
    try:
        records = read(consumer, 200)
    finally:
        consumer.close(5)
    assert {record.key for record in records} == {b"unit-1", b"unit-2"}


def test_without_a_broker_there_is_one_line(
    folder: Path, run_trainer: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_KAFKA__CONNECT_TIMEOUT_S", "0.5")

    ended = run_trainer("sample", str(folder), "-n", "9", "--to-kafka", "127.0.0.1:1")

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "127.0.0.1:1" in ended.stderr
