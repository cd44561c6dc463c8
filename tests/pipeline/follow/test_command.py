"""`pipeline alerts` as a user meets it, on a real Kafka."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from rich.console import Console

from pipeline.errors import InputError
from pipeline.follow.command import Follower, options
from pipeline.kafka_server import LocalKafka
from pipeline.records import Message, Record
from pipeline.secured import secured
from pipeline.transport.choose import clients
from pipeline.transport.kafka_python import KafkaPythonProducer
from pipeline.transport.kafka_python_transactions import KafkaPythonTransactions
from tests.alerts import alert_json, course, messages
from tests.builders import record
from tests.processes import command, without_settings
from tests.secure_kafka import WAYS, Certificates, settings_for, settings_of
from tests.support import unique_name, wait_until

TIMEOUT_S = 60.0


@pytest.fixture
def send(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> Callable[[list[bytes]], str]:
    """Publishes these, in a topic of their own, and returns its name."""

    def send(values: list[bytes]) -> str:
        topic = make_topic(2)
        producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
        try:
            producer.send(messages(topic, values))
        finally:
            producer.close(5)
        return topic

    return send


def arguments(servers: str, topic: str, *more: str) -> list[str]:
    settings = [
        f"--set=kafka.bootstrap_servers={servers}",
        f"--set=kafka.alerts_topic={topic}",
    ]
    return ["pipeline", "alerts", *settings, *more]


ALERTS = [*course(1), *course(2)[:-1], *course(2)[:-1], b"\x1b[2Jjunk"]


def test_once_says_what_is_open(
    send: Callable[[list[bytes]], str], kafka_bootstrap_servers: str
) -> None:
    ended = command(*arguments(kafka_bootstrap_servers, send(ALERTS), "--once"))

    assert (ended.returncode, ended.stderr) == (0, "")
    row, totals = ended.stdout.splitlines()
    assert row.split()[0] == "critical"
    assert "pump-7" in row
    assert totals.startswith("1 open, 1 of them critical; 1 closed, of 2 told of;")
    assert totals.endswith("2 repeats; 1 records that are no alerts")


def test_as_json_it_is_one_alert_a_line_without_repeats(
    send: Callable[[list[bytes]], str], kafka_bootstrap_servers: str
) -> None:
    topic = send(ALERTS)

    ended = command(*arguments(kafka_bootstrap_servers, topic, "--once", "--json"))

    alerts = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [alert["state"] for alert in alerts] == [
        *("opened", "updated", "closed"),
        *("opened", "updated"),
    ]


def test_what_a_transaction_took_back_is_not_shown_and_its_marks_are_no_wait(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    producer = KafkaPythonTransactions(
        bootstrap_servers=kafka_bootstrap_servers, transactional_id=unique_name("t")
    )
    producer.send([Message(topic, alert_json(unit="taken-back"), b"x")])
    producer.close(5)

    ended = command(*arguments(kafka_bootstrap_servers, topic, "--once"))

    assert ended.returncode == 0
    assert ended.stdout.startswith("0 open")


def test_only_what_was_published_since_is_read(
    kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
    for number, timestamp_ms in ((1, 1_795_000_000_000), (2, 1_795_000_100_000)):
        value = alert_json(number, unit=f"pump-{number}")
        producer.send([Message(topic, value, b"x", timestamp_ms=timestamp_ms)])
    producer.close(5)

    def units(*more: str) -> int:
        said = command(*arguments(kafka_bootstrap_servers, topic, "--once", *more)).stdout
        return said.count("pump-")

    assert units("--since", "2026-11-18T11:07:00Z") == 1
    assert units("--from-beginning") == 2
    # Of one that does not get worse there is no newer alert, however long it is open.
    assert units() == 2


@pytest.mark.parametrize("way", WAYS)
def test_it_shows_who_it_is_as_the_worker_does(
    way: str, secure_broker: LocalKafka, pem: Certificates
) -> None:
    topic, variables = unique_name("alerts"), settings_for(way, secure_broker, pem)
    kafka = settings_of(variables).kafka
    producer = secured(clients(kafka.client), kafka).producer(
        bootstrap_servers=kafka.bootstrap_servers
    )
    producer.send(messages(topic, [alert_json()]))
    producer.close(5)

    ended = subprocess.run(
        [sys.executable, "-m", "pipeline", "alerts", "--once"],
        env={**without_settings(), **variables, "PIPELINE_KAFKA__ALERTS_TOPIC": topic},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("1 open")


def follower(servers: str, topic: str, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", *arguments(servers, topic)],
        env={**without_settings(), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def test_elsewhere_than_on_a_terminal_each_alert_is_a_line_until_a_signal(
    send: Callable[[list[bytes]], str], kafka_bootstrap_servers: str
) -> None:
    with follower(kafka_bootstrap_servers, send(ALERTS), subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().decode() for _ in range(5)]
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()

    assert [line.split()[0] for line in lines] == [
        *("opened", "updated", "closed"),
        *("opened", "updated"),
    ]
    assert (process.returncode, rest) == (0, b"")


def test_on_a_terminal_the_picture_is_drawn_anew_and_stays_after_ctrl_c(
    send: Callable[[list[bytes]], str], kafka_bootstrap_servers: str
) -> None:
    ours, theirs = pty.openpty()
    written = bytearray()

    def has_shown(text: bytes) -> bool:
        written.extend(os.read(ours, 65_536))
        return text in written

    with follower(kafka_bootstrap_servers, send(ALERTS), theirs) as process:
        os.close(theirs)
        try:
            wait_until(lambda: has_shown(b"pump-7"), "it shows the unit", TIMEOUT_S)
            process.send_signal(signal.SIGINT)
            written.clear()
            # A terminal whose other side is closed gives an error, not an end.
            with suppress(OSError):
                while not has_shown(b"\x00"):
                    pass
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()
    os.close(ours)

    _, left, after = bytes(written).partition(b"\x1b[?1049l")
    assert left
    assert b"pump-7" in after


def test_a_pipe_that_ends_is_no_error(
    send: Callable[[list[bytes]], str], kafka_bootstrap_servers: str
) -> None:
    topic = send([alert_json(n, unit="x" * 200) for n in range(2_000)])
    with follower(kafka_bootstrap_servers, topic, subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(TIMEOUT_S) == 0
        finally:
            process.kill()


def test_a_topic_that_does_not_exist_is_one_line(kafka_bootstrap_servers: str) -> None:
    ended = command(*arguments(kafka_bootstrap_servers, "nowhere.at-all"))

    assert ended.returncode == 2
    assert "there is no such topic" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def console(term: str = "") -> Console:
    """A terminal, if it is of some kind, or else a pipe."""
    return Console(
        file=io.StringIO(),
        force_terminal=bool(term),
        width=60,
        height=30,
        _environ={"TERM": term},
    )


@pytest.mark.parametrize(
    ("since", "begin_s"),
    [
        ("", 0.0),
        ("1h", 6_400.0),
        ("90s", 9_910.0),
        ("9999999d", 0.0),
        ("1970-01-01T01:00:00Z", 3_600.0),
    ],
)
def test_since_is_a_length_of_time_or_a_time(since: str, begin_s: float) -> None:
    wanted = options(since, [], "warning", False, False, console(), 10_000.0)

    assert wanted.since_s == begin_s


@pytest.mark.parametrize(
    ("once", "as_json", "term", "begin_s"),
    [
        (True, False, "", 0.0),
        (True, True, "", 0.0),
        (False, False, "xterm", 0.0),
        (False, True, "xterm", 13_600.0),
        (False, False, "dumb", 13_600.0),
        (False, False, "", 13_600.0),
    ],
)
def test_what_shows_open_incidents_reads_all_and_what_shows_lines_a_day(
    once: bool, as_json: bool, term: str, begin_s: float
) -> None:
    wanted = options(None, [], "warning", once, as_json, console(term), 100_000.0)

    assert wanted.since_s == begin_s


@pytest.mark.parametrize(
    ("since", "severity"),
    [
        *(("yesterday", "warning"), ("1h", "grave"), ("1y", "warning")),
        *(("9" * 400 + "d", "warning"), ("9999-12-31T23:59:59-14:00", "warning")),
    ],
)
def test_options_that_make_no_sense_are_refused(since: str, severity: str) -> None:
    with pytest.raises(InputError, match="expected"):
        options(since, [], severity, False, False, console(), 0.0)


class Silent:
    """A broker that has said all that it had to say, and then nothing for a while."""

    def __init__(self, values: list[bytes], answers: list[bool]) -> None:
        self.now_s = 0.0
        self.n_polls = 0
        self._records = [record(value) for value in values]
        self._answers = answers

    def now(self) -> float:
        return self.now_s

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self.now_s += timeout_s
        self.n_polls += 1
        records, self._records = self._records, []
        return list(records)

    def has_caught_up(self) -> bool:
        return True

    def answers(self, timeout_s: float) -> bool:
        return self._answers.pop(0)

    def is_set(self) -> bool:
        return not self._answers


def test_a_broker_that_falls_silent_is_told_of_not_shown_as_peace() -> None:
    terminal = console("xterm")
    silent = Silent([alert_json()], [False, False])
    wanted = options("1d", [], "warning", False, False, terminal, 0.0)

    Follower(silent, wanted, "alerts, " * 20, silent.now).run(silent, terminal)

    _, _, left_behind = written(terminal).rpartition("\x1b[?1049l")
    assert "KAFKA DOES NOT ANSWER" in left_behind
    assert "pump-7" in left_behind


@pytest.mark.parametrize(("as_json", "term"), [(False, ""), (True, ""), (False, "dumb")])
def test_where_alerts_are_lines_a_silent_broker_is_a_line_on_standard_error(
    as_json: bool, term: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = console(term)
    silent = Silent([alert_json()], [True, False, False, True, True])
    wanted = options("1d", [], "warning", False, as_json, lines, 0.0)

    Follower(silent, wanted, "alerts", silent.now).run(silent, lines)

    assert capsys.readouterr().err == "alerts: does not answer\nalerts: answers again\n"
    assert len(written(lines).splitlines()) == 1


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_was_not_read_to_its_end_is_no_account_of_what_is_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = console()
    silent = Silent([alert_json()], [])
    wanted = options(None, [], "warning", True, False, lines, 0.0)

    Follower(silent, wanted, "alerts", silent.now).run(silent, lines)

    assert capsys.readouterr().err == "alerts: ended before all was read\n"
    assert written(lines) == ""
