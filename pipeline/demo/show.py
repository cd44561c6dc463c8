"""`pipeline demo` from top to bottom: Kafka, training, worker, stream, summary, page."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console

from pipeline.alert import Alert
from pipeline.demo.child import Child
from pipeline.demo.screen import print_summary
from pipeline.demo.watch import stream, wait_until_ready
from pipeline.detector import manifest
from pipeline.detector.manifest import Manifest
from pipeline.errors import InputError
from pipeline.events import Span, compare, labelled_events
from pipeline.kafka_runtime import free_ports
from pipeline.kafka_server import LocalKafka
from pipeline.table import Table, first_rows, read_table
from pipeline.times import parse_iso_s

N_PARTITIONS = 3
DEFAULT_HTTP_PORT = 9100
MIN_ROWS_SUMMARISED = 100
TRAINING = ("--set", "steps=400")


def show(
    out: Path, keep_running: bool, readings_per_s: float, environ: Mapping[str, str]
) -> None:
    """Run the demo and leave its files in `out`.

    Args:
        out: a folder, made if need be.
        keep_running: go on streaming until Ctrl-C.
        readings_per_s: how fast the data is streamed.
        environ: variables for the child processes. What the user has set for workers and
            trainers of his own does not reach them.

    Raises:
        InputError: `out` cannot be written.
        PipelineError: one of the parts failed.
    """
    console = Console(highlight=False)
    ours = ("PIPELINE_", "TRAINER_")
    environ = {k: v for k, v in environ.items() if not k.upper().startswith(ours)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror}") from error
    detector, archive, page = out / "server", out / "alerts.jsonl", out / "report.html"
    with ExitStack() as stack:
        raise_if_stopped = stack.enter_context(_stop_signals_as_ctrl_c())
        data = stack.enter_context(
            resources.as_file(resources.files("pipeline.demo") / "data")
        )
        _say(console, "starting Apache Kafka")
        kafka = stack.enter_context(LocalKafka(n_partitions=N_PARTITIONS))

        _say(console, "training an ensemble on 30 days of a server's metrics")
        history = str(data / "history.parquet")
        options = ["--out", str(detector), *TRAINING]
        with Child(["trainer", "fit", history, *options], environ) as fit:
            fit.finish()

        _say(console, "starting the worker")
        port = _http_port()
        settings = {
            "PIPELINE_DETECTOR": str(detector),
            "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PIPELINE_KAFKA__GROUP_ID": "demo",
            "PIPELINE_HTTP__HOST": "127.0.0.1",
            "PIPELINE_HTTP__PORT": str(port),
        }
        log = out / "worker.log"
        worker = stack.enter_context(Child(["pipeline", "run"], environ | settings, log))
        wait_until_ready(worker, port)

        table = read_table(data / "stream.parquet")
        _say(console, f"streaming the next {_days(table):.0f} days; alerts as they arrive:")
        if keep_running:
            _say_where_to_look(console, kafka, port)
        streamed = stream(
            console,
            kafka.bootstrap_servers,
            worker,
            port,
            table,
            readings_per_s,
            keep_running,
            archive,
            raise_if_stopped,
        )
        worker.stop()
        text = (detector / "manifest.json").read_bytes()
        seen = first_rows(table, streamed.n_scored)
        if len(seen) < len(table):
            _say(console, f"stopped after {len(seen):,} of {len(table):,} readings")
        facts = manifest.decode(text, str(detector))
        if len(seen) < MIN_ROWS_SUMMARISED:
            _say(console, "too few to compare with the labelled events")
            return
        _summarise(console, facts, seen, streamed.alerts)

        _say(console, "drawing the page")
        labelled = str(data / "stream.parquet")
        if len(seen) < len(table):
            labelled = str(out / "streamed.parquet")
            rows = pq.read_table(data / "stream.parquet").slice(0, len(seen))
            pq.write_table(rows, labelled)
        options = ["--alerts", str(archive), "--out", str(page)]
        log = out / "report.log"
        with Child(
            ["trainer", "report", str(detector), labelled, *options], environ, log
        ) as report:
            report.finish()
        log.unlink()
    console.print("\nfiles written:")
    for path, what in (
        (detector, "the detector"),
        (page, "pictures: open it in a browser"),
        (archive, "every alert that arrived"),
        (out / "worker.log", "the worker's log"),
    ):
        console.print(f"  {path}  ({what})", soft_wrap=True)


def _summarise(
    console: Console, facts: Manifest, table: Table, alerts: list[Alert]
) -> None:
    if table.label_N is None:
        raise AssertionError("the demo's stream is labelled")
    end_s = float(table.time_s_N[-1])
    events = [
        event
        for number, unit in enumerate(table.units)
        for event in labelled_events(
            unit,
            table.time_s_N[table.unit_N == number],
            np.asarray(table.label_N[table.unit_N == number]),
        )
    ]
    latest = {alert.incident_id: alert for alert in alerts}
    alert_of: dict[Span, Alert] = {}
    for alert in alerts:
        opened_s = parse_iso_s(alert.opened_at)
        # With --keep-running the rounds after the first have no labels.
        if alert.state == "opened" and opened_s <= end_s:
            closed_at = latest[alert.incident_id].closed_at
            closed_s = end_s if closed_at is None else parse_iso_s(closed_at)
            alert_of[Span(alert.unit, opened_s, closed_s)] = alert
    print_summary(
        console,
        compare(events, list(alert_of)),
        alert_of,
        promised_per_day=facts.threshold.expected_false_alarms_per_unit_day,
        unit_days=_days(table) * float(1.0 - table.label_N.mean()),
    )


def _say_where_to_look(console: Console, kafka: LocalKafka, port: int) -> None:
    console.print(
        f"  metrics   http://127.0.0.1:{port}/metrics (also /healthz, /readyz)\n"
        f"  Kafka     {kafka.bootstrap_servers}, topics readings, alerts, readings.dead\n"
        "  Ctrl-C ends it and prints the summary of the labelled part",
        soft_wrap=True,
    )


def _http_port() -> int:
    """The usual port where it is free, so that the documented address works."""
    try:
        return free_ports(DEFAULT_HTTP_PORT)[0]
    except InputError:
        return free_ports(0)[0]


def _days(table: Table) -> float:
    return float(table.time_s_N[-1] - table.time_s_N[0]) / 86_400.0


def _say(console: Console, text: str) -> None:
    console.print(f"[bold cyan]>[/] {text}")


@contextmanager
def _stop_signals_as_ctrl_c() -> Iterator[Callable[[], None]]:
    """Within, SIGTERM and SIGHUP end the demo as Ctrl-C does: nothing is left behind.

    Yields what raises KeyboardInterrupt if one came: a library may have swallowed it.
    """
    came: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def raise_if_stopped() -> None:
        if came:
            raise KeyboardInterrupt

    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in stops}
    try:
        yield raise_if_stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
