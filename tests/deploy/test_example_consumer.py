"""`deploy/examples/consumer.py`, as somebody would run it."""

import ast
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pipeline.transport.kafka_python import KafkaPythonProducer
from pipeline.transport.kafka_python_transactions import KafkaPythonTransactions
from tests.alerts import alert_json, course, messages
from tests.deploy.files import ROOT
from tests.processes import without_settings
from tests.support import unique_name

FILE = ROOT / "deploy" / "examples" / "consumer.py"
TIMEOUT_S = 60.0


@pytest.fixture
def topic(kafka_bootstrap_servers: str, make_topic: Callable[[int], str]) -> str:
    """Two incidents, the second of them told of twice."""
    topic = make_topic(2)
    producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
    second = course(2, unit="fan")
    producer.send(messages(topic, [*course(1)]))
    producer.send(messages(topic, [*second, *second], key=b"fan"))
    producer.close(5)
    return topic


def started(servers: str, topic: str, group: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(FILE), servers, topic, group],
        env=without_settings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(process: "subprocess.Popen[str]", n_lines: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip() for _ in range(n_lines)]


def stopped(process: "subprocess.Popen[str]") -> str:
    """What it printed after the lines that were read."""
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    return rest


def test_each_alert_is_worked_on_once_and_again_by_nobody(
    kafka_bootstrap_servers: str, topic: str
) -> None:
    group = unique_name("operators")
    with started(kafka_bootstrap_servers, topic, group) as process:
        try:
            said = lines(process, 6)
            # So that the last of the repeats is read as well.
            producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
            producer.send(messages(topic, [alert_json(3, unit="fan")], key=b"fan"))
            producer.close(5)
            said += lines(process, 1)
            assert stopped(process) == ""
        finally:
            process.kill()

    assert sorted(said) == [
        "closed fan critical vibration",
        "closed pump-7 critical vibration",
        "opened fan warning vibration",
        "opened fan warning vibration",
        "opened pump-7 warning vibration",
        "updated fan critical vibration",
        "updated pump-7 critical vibration",
    ]

    producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
    producer.send(messages(topic, [alert_json(4, unit="new")], key=b"fan"))
    producer.close(5)
    with started(kafka_bootstrap_servers, topic, group) as process:
        try:
            assert lines(process, 1) == ["opened new warning vibration"]
            assert stopped(process) == ""
        finally:
            process.kill()


def test_what_a_transaction_took_back_is_not_worked_on(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    taken_back = KafkaPythonTransactions(
        bootstrap_servers=kafka_bootstrap_servers, transactional_id=unique_name("t")
    )
    taken_back.send(messages(topic, [alert_json(1, unit="taken-back")]))
    taken_back.close(5)
    producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
    producer.send(messages(topic, [alert_json(2, unit="kept")]))
    producer.close(5)

    with started(kafka_bootstrap_servers, topic, unique_name("g")) as process:
        try:
            assert lines(process, 1) == ["opened kept warning vibration"]
        finally:
            process.kill()


def test_nothing_is_committed_before_the_whole_poll_is_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit is of all partitions, also of those whose records are yet to come."""
    example = runpy.run_path(str(FILE))
    names = example["main"].__globals__
    n_committed: list[int] = []
    first, second = [SimpleNamespace(value=alert_json(n, unit=f"pump-{n}")) for n in (1, 2)]
    consumer = SimpleNamespace(
        poll=lambda **_: {"alerts-0": [first], "alerts-1": [second]},
        commit=lambda: n_committed.append(1),
    )

    def crash(alert: dict[str, object]) -> None:
        if alert["unit"] == "pump-2":
            raise OSError("the disk is full")

    monkeypatch.setitem(names, "KafkaConsumer", lambda *_, **__: consumer)
    monkeypatch.setitem(names, "work", crash)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(OSError, match="full"):
        names["main"]("kafka:9092")

    assert n_committed == []


def test_it_is_short() -> None:
    text = FILE.read_text()
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]

    n_lines = sum((f.end_lineno or 0) - f.lineno + 1 for f in functions)
    assert n_lines <= 36
