"""Synthetic readings on their way to Kafka."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.reading import messages
from pipeline.transport.kafka_python import KafkaPythonConsumer
from tests.support import read, unique_name
from tests.trainer.training import Command
from trainer.synthetic.rows import Rows
from trainer.synthetic.send import tables


def test_rows_are_sent_as_readings_of_their_units() -> None:
    rows = Rows(
        ["a", "b"],
        np.array([0, 1]),
        np.array([0, 0]),
        np.array([[1.5], [2.5]], dtype=np.float32),
        np.zeros(2, dtype=np.bool_),
    )

    (table,) = tables(iter([rows]), ["x"])

    sent = [json.loads(m.value or b"") for m in messages(table, "readings", 0, 2)]
    assert [(r["unit"], r["values"]) for r in sent] == [
        ("a", {"x": 1.5}),
        ("b", {"x": 2.5}),
    ]


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
