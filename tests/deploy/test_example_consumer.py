"""`deploy/examples/consumer.py`, as somebody would run it."""

import ast
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata
from kafka.errors import CommitFailedError

from pipeline.transport.kafka_python import KafkaPythonProducer
from pipeline.transport.kafka_python_transactions import KafkaPythonTransactions
from tests.alerts import alert_json, course, messages
from tests.deploy.files import ROOT
from tests.processes import without_settings
from tests.support import unique_name

FILE = ROOT / "deploy" / "examples" / "consumer.py"
TIMEOUT_S = 60.0
Values = Sequence[bytes | None]


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


class Group:
    """Its member is given these polls, of each partition one value, and then ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *polls: Values) -> None:
        self.worked_on: list[str] = []
        self.committed: dict[str, int] = {}
        self.refusals: list[Exception] = []
        self.max_records = 0
        self.stop: Callable[[], object] = lambda: None
        self._polls = list(polls)
        self._names = runpy.run_path(str(FILE))["main"].__globals__
        consumer = SimpleNamespace(
            poll=self._poll, commit=self._commit, close=lambda: self.worked_on.append("end")
        )
        monkeypatch.setitem(self._names, "KafkaConsumer", lambda *_, **__: consumer)
        monkeypatch.setattr(signal, "signal", self._on_signal)
        self.do(monkeypatch, lambda unit: None)

    def do(self, monkeypatch: pytest.MonkeyPatch, work: Callable[[str], object]) -> None:
        def noted(alert: dict[str, Any]) -> None:
            work(alert["unit"])
            self.worked_on.append(alert["unit"])

        monkeypatch.setitem(self._names, "work", noted)

    def run(self) -> None:
        self._names["main"]("kafka:9092")

    def _on_signal(self, number: int, handler: Callable[[int, object], None]) -> None:
        self.stop = lambda: handler(number, None)

    def _poll(self, timeout_ms: int, max_records: int) -> dict[str, list[SimpleNamespace]]:
        self.max_records = max_records
        if not self._polls:
            self.stop()
            return {}
        return {
            f"alerts-{number}": [SimpleNamespace(value=value, partition=number, offset=7)]
            for number, value in enumerate(self._polls.pop(0))
        }

    def _commit(self, offsets: dict[str, OffsetAndMetadata], timeout_ms: int) -> None:
        if self.refusals:
            raise self.refusals.pop()
        self.committed.update({name: at.offset for name, at in offsets.items()})


def test_a_signal_ends_it_after_the_alert_in_hand_and_only_that_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group(monkeypatch, [alert_json(1, unit="fan"), alert_json(2, unit="pump-7")])
    group.do(monkeypatch, lambda unit: group.stop())

    group.run()

    assert group.worked_on == ["fan", "end"]
    assert group.committed == {"alerts-0": 8}


def test_nothing_is_committed_of_work_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, [alert_json(1, unit="fan"), alert_json(2, unit="pump-7")])

    def crash(unit: str) -> None:
        if unit == "pump-7":
            raise OSError("the disk is full")

    group.do(monkeypatch, crash)
    with pytest.raises(OSError, match="full"):
        group.run()

    assert "alerts-1" not in group.committed


def test_half_a_minute_of_work_an_alert_is_no_reason_to_be_put_out_of_the_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = Group(monkeypatch)

    group.run()

    longest_s = KafkaConsumer.DEFAULT_CONFIG["max_poll_interval_ms"] / 1000
    assert group.max_records * 30.0 <= longest_s


def test_who_is_out_of_the_group_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = [alert_json(1, unit="fan")]
    group = Group(monkeypatch, again, again)
    group.refusals = [CommitFailedError()]

    group.run()

    assert group.worked_on == ["fan", "end"]
    assert group.committed == {"alerts-0": 8}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("the last alerts are not committed and may come again: Commit")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\x1b[2J",
        b"[" * 100_000,
        b"[1]",
        b"7",
        b'{"schema": "alert/1"}',
        alert_json(schema="alert/2"),
        alert_json(incident_id=[1]),
        alert_json(sensors=7),
        alert_json(sensors=[{}]),
    ],
)
def test_what_is_no_alert_is_passed_over_with_one_line(
    value: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = Group(monkeypatch, [value, alert_json(unit="fan")])

    group.run()

    assert group.worked_on == ["fan", "end"]
    assert group.committed == {"alerts-0": 8, "alerts-1": 8}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("skipped partition 0 offset 7, no alert/1: ")
    assert line.isprintable()
    assert len(line) < 300


def test_it_is_short() -> None:
    text = FILE.read_text()
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]

    n_lines = sum((f.end_lineno or 0) - f.lineno + 1 for f in functions)
    assert n_lines <= 60
