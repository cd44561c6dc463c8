"""`pipeline replay`."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from pipeline.records import Record
from pipeline.replay import in_order_of_time, rounds
from pipeline.table import Table
from pipeline.times import parse_iso_s
from pipeline.transport.kafka_python import KafkaPythonConsumer
from tests.processes import command, without_settings
from tests.support import read, unique_name

HISTORY = """time,unit,x,label
2026-01-01T00:00:00Z,a,1,0
2026-01-01T00:00:10Z,a,2,0
2026-01-01T00:00:00Z,b,3,0
2026-01-01T00:00:10Z,b,,1
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "recent.csv"
    path.write_text(HISTORY)
    return path


def received(servers: str, topic: str, n_records: int) -> list[Record]:
    consumer = KafkaPythonConsumer(
        bootstrap_servers=servers, group_id=unique_name("reader"), topic=topic
    )
    try:
        return read(consumer, n_records)
    finally:
        consumer.close(5)


def options(servers: str, topic: str, client: str = "kafka-python") -> list[str]:
    settings = {
        "kafka.bootstrap_servers": servers,
        "kafka.readings_topic": topic,
        "kafka.client": client,
    }
    return [f"--set={name}={value}" for name, value in settings.items()]


def test_units_that_stand_one_after_the_other_are_sent_side_by_side(
    csv: Callable[[str], Table],
) -> None:
    table = in_order_of_time(csv(HISTORY))

    assert [table.units[n] for n in table.unit_N] == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(table.values_NF[:, 0], [1, 3, 2, np.nan])


def test_each_further_round_is_later_by_the_length_of_the_table(
    csv: Callable[[str], Table],
) -> None:
    table = csv("time,x\n100,1\n110,2\n120,3\n")

    times = [list(each.time_s_N) for each in islice(rounds(table, for_ever=True), 3)]

    assert times == [[100, 110, 120], [130, 140, 150], [160, 170, 180]]
    assert len(list(rounds(table, for_ever=False))) == 1


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_history_is_sent_with_the_times_of_now(
    client: str,
    history: Path,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
) -> None:
    topic, began_s = make_topic(2), time.time()

    ended = command(
        "pipeline",
        "replay",
        str(history),
        *options(kafka_bootstrap_servers, topic, client),
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"4 readings sent to {topic} in ")
    records = received(kafka_bootstrap_servers, topic, 4)
    sent = [json.loads(r.value or b"") for r in records]
    of_b = [reading for reading in sent if reading["unit"] == "b"]
    assert [reading["values"] for reading in of_b] == [{"x": 3.0}, {"x": None}]
    assert all(began_s <= parse_iso_s(r["time"]) <= time.time() + 1 for r in sent)


def test_or_with_its_own(
    history: Path, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)

    command(
        "pipeline",
        "replay",
        str(history),
        "--keep-times",
        *options(kafka_bootstrap_servers, topic),
    )

    records = received(kafka_bootstrap_servers, topic, 4)
    times = [json.loads(r.value or b"")["time"] for r in records]
    assert times == ["2026-01-01T00:00:00Z"] * 2 + ["2026-01-01T00:00:10Z"] * 2


@pytest.mark.parametrize(
    ("number", "rate"),
    [(signal.SIGTERM, "200"), (signal.SIGINT, "200"), (signal.SIGTERM, "0.001")],
)
def test_for_ever_lasts_until_a_signal(
    number: signal.Signals,
    rate: str,
    history: Path,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
) -> None:
    topic = make_topic(1)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "pipeline", "replay", str(history), "--for-ever"),
            *("--readings-per-s", rate),
            *options(kafka_bootstrap_servers, topic),
        ],
        env=without_settings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            received(kafka_bootstrap_servers, topic, 1)
            process.send_signal(number)
            said, logged = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0, logged
    assert said.startswith("stopped: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("", (), "recent.csv: expected CSV or Parquet"),
        ("time,x\n", (), "recent.csv: expected rows, found none"),
        (HISTORY, ("--readings-per-s", "0"), "--readings-per-s 0: expected a number above"),
        (HISTORY, ("--readings-per-s", "nan"), "expected a number above 0"),
        (HISTORY, ("--set", "kafka.bootstrap_servers=nowhere"), "expected host:port"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    history: Path, content: str, more: tuple[str, ...], message: str
) -> None:
    history.write_text(content)

    ended = command("pipeline", "replay", str(history), *more)

    assert ended.returncode == 2
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_without_a_broker_it_waits_only_so_long(history: Path) -> None:
    ended = command(
        "pipeline",
        "replay",
        str(history),
        "--set=kafka.bootstrap_servers=127.0.0.1:1",
        "--set=kafka.connect_timeout_s=0.5",
    )

    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
