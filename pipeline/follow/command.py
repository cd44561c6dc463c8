"""`pipeline alerts`: reads, shows, ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import NamedTuple, Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from pipeline.errors import InputError, TransportError
from pipeline.follow.incidents import Incidents, Wanted
from pipeline.follow.show import Frame, alert_line, json_line, open_lines, screen
from pipeline.preflight import check_connection
from pipeline.records import Record
from pipeline.security import kafka_python_options
from pipeline.settings import ConnectionSettings
from pipeline.settings_kafka import KafkaSettings
from pipeline.signals import StopSignals
from pipeline.times import length_s, moment_s, parse_iso_s
from pipeline.transport.kafka_reader import KafkaReader

LINES_SINCE = "1d"
"""Unless told otherwise. What shows open incidents reads all: of one that has been open for
long there may be no newer alert than its first."""
MAX_RECORDS = 2_000
POLL_TIMEOUT_S = 0.25
DRAW_EVERY_S = 0.5
ASK_EVERY_S = 10.0
MAX_LINES_ONCE = 200
ANSWER_TIMEOUT_S = 3.0
QUIET_POLLS = 8
"""Without a record: what is left are offsets that no record has, as transactions leave."""


class Options(NamedTuple):
    """What is to be seen, and how."""

    since_s: float
    """Alerts that were published from then on, seconds since 1970; 0: all."""
    wanted: Wanted
    once: bool
    as_json: bool
    is_drawn: bool
    """As a picture, not as lines."""


def terminal() -> Console:
    """What is written to."""
    return Console(highlight=False, markup=False, emoji=False)


def options(
    since: str | None,
    units: Sequence[str],
    severity: str,
    once: bool,
    as_json: bool,
    console: Console,
    now_s: float,
) -> Options:
    """What the command line says.

    Args:
        since: a length of time or a time; empty: all; None: what suits the rest.
        units: see `Wanted`.
        severity: see `Wanted`.
        once: show what is open, and end.
        as_json: one alert a line.
        console: one on which no picture can be drawn gets lines.
        now_s: seconds since 1970.

    Raises:
        InputError: a time or a severity is none.
    """
    if severity not in ("warning", "critical"):
        raise InputError(f"--severity {severity}: expected warning or critical")
    wanted = Wanted(tuple(units), "critical" if severity == "critical" else "warning")
    is_drawn = console.is_terminal and not console.is_dumb_terminal and not as_json
    if since is None:
        since = "" if once or is_drawn else LINES_SINCE
    since_s = _time_s(since, now_s) if since else 0.0
    return Options(since_s, wanted, once, as_json, is_drawn)


def _time_s(since: str, now_s: float) -> float:
    for parse in (lambda text: now_s - length_s(text), parse_iso_s):
        with suppress(ValueError):
            return moment_s(parse(since))
    raise InputError(
        f"--since {since}: expected a length of time, as 1h or 7d, or an ISO 8601 time "
        "before the year 10000"
    )


class Reader(Protocol):
    """A topic, see `KafkaReader`."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]: ...
    def has_caught_up(self) -> bool: ...
    def answers(self, timeout_s: float) -> bool: ...


class Follower:
    """Takes what comes, and shows it. Owns what is on the screen."""

    def __init__(
        self,
        reader: Reader,
        options: Options,
        title: str,
        now_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._now_s = now_s
        self._wall_s = wall_s
        self._options = options
        self._title = title
        self._incidents = Incidents(options.wanted)
        self._n_quiet = 0
        self._drawn_at_s = self._heard_at_s = now_s()
        self._is_silent = False

    def run(self, stopped: "Stopped", console: Console) -> None:
        """Until `stopped` is set or, if it is asked for once, all is read.

        Raises:
            TransportError: Kafka refused; or, asked once, does not answer.
        """
        if self._options.once:
            self._read_to_the_end(stopped, console)
            if stopped.is_set():
                _tell(f"{self._title}: ended before all was read")
            elif self._options.is_drawn:
                console.print(self._screen(console, MAX_LINES_ONCE))
            elif not self._options.as_json:
                for line in open_lines(self._incidents, self._options.since_s):
                    _print(console, line)
        elif self._options.is_drawn:
            self._draw(stopped, console)
        else:
            while not stopped.is_set():
                was_silent = self._is_silent
                records = self._poll()
                if self._is_silent != was_silent:
                    # Lines that do not come look like peace.
                    says = "does not answer" if self._is_silent else "answers again"
                    _tell(f"{self._title}: {says}")
                self._print_alerts(console, records)

    def _read_to_the_end(self, stopped: "Stopped", console: Console) -> None:
        while not stopped.is_set() and not self._reader.has_caught_up():
            records = self._poll()
            if self._options.as_json:
                self._print_alerts(console, records)
            else:
                self._take(records)
            if self._n_quiet >= QUIET_POLLS:
                if not self._reader.answers(ANSWER_TIMEOUT_S):
                    raise TransportError(f"{self._title}: no answer", retriable=True)
                return

    def _draw(self, stopped: "Stopped", console: Console) -> None:
        with Live(
            self._screen(console), console=console, auto_refresh=False, screen=True
        ) as live:
            while not stopped.is_set():
                self._take(self._poll())
                now_s = self._now_s()
                if now_s - self._drawn_at_s >= DRAW_EVERY_S:
                    self._drawn_at_s = now_s
                    live.update(self._screen(console), refresh=True)
        # The picture stays when it is left.
        console.print(self._screen(console))

    def _poll(self) -> list[Record]:
        records = self._reader.poll(MAX_RECORDS, POLL_TIMEOUT_S)
        self._n_quiet = 0 if records else self._n_quiet + 1
        now_s = self._now_s()
        if records:
            self._heard_at_s, self._is_silent = now_s, False
        elif now_s - self._heard_at_s >= ASK_EVERY_S:
            self._is_silent = not self._reader.answers(ANSWER_TIMEOUT_S)
            self._heard_at_s = self._now_s()
        return records

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            self._incidents.take(record.value)

    def _print_alerts(self, console: Console, records: Sequence[Record]) -> None:
        for record in records:
            alert = self._incidents.take(record.value)
            if alert is not None and record.value is not None:
                as_json = self._options.as_json
                line = json_line(record.value, alert) if as_json else alert_line(alert)
                _print(console, line)
        console.file.flush()

    def _screen(self, console: Console, n_lines: int | None = None) -> RenderableType:
        return screen(
            self._incidents,
            # In front, where a narrow terminal does not cut it off.
            ("KAFKA DOES NOT ANSWER  " if self._is_silent else "") + self._title,
            Frame(console.width, n_lines or console.height, self._wall_s()),
            self._options.since_s,
            # Offsets without a record may be left, see `QUIET_POLLS`.
            self._reader.has_caught_up() or self._n_quiet >= QUIET_POLLS,
        )


class Stopped(Protocol):
    """An event, such as `threading.Event`."""

    def is_set(self) -> bool: ...


def follow(
    settings: ConnectionSettings, options: Options, console: Console, signals: StopSignals
) -> None:
    """Show the alert topic until a signal or, if it is asked for once, its end.

    Raises:
        InputError: there is no such topic.
        TransportError: Kafka refused, or did not answer in time.
    """
    kafka = settings.kafka
    if isinstance(sys.stdout, TextIOWrapper):
        # A name may hold what the terminal's encoding has not.
        sys.stdout.reconfigure(errors="replace")
    title = f"alerts of topic {kafka.alerts_topic}, Kafka {kafka.bootstrap_servers}"
    with (
        _reader(kafka, options.since_s) as reader,
        signals.work_to_finish() as stopped,
    ):
        follower = Follower(reader, options, title)
        with _reader_may_leave():
            follower.run(stopped, console)


def _reader(kafka: KafkaSettings, since_s: float) -> KafkaReader:
    # No group is joined and little is read: kafka-python does, whichever the workers have.
    kafka = kafka.model_copy(update={"client": "kafka-python"})
    check_connection(kafka)
    security = {} if kafka.protocol == "PLAINTEXT" else kafka_python_options(kafka)
    return KafkaReader(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.alerts_topic,
        since_s=since_s,
        connect_timeout_s=kafka.connect_timeout_s,
        client_options=security,
    )


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """As of a pipe into `head`: there is nobody to show more to, and nothing went wrong."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(console: Console, line: str) -> None:
    # Not through the console, which would fold it at the terminal's width.
    console.file.write(line + "\n")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
