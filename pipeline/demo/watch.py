"""The demo's stream: readings go in, an ordinary consumer shows what comes out."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rich.console import Console

from pipeline.alert import Alert, decode
from pipeline.demo.child import Child
from pipeline.demo.replay import Replay
from pipeline.demo.screen import Screen, StreamState
from pipeline.errors import PipelineError
from pipeline.metrics import totals
from pipeline.table import Table
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 60.0
"""From the last reading sent to the last one scored and told of."""


class Streamed(NamedTuple):
    """What came of a stream."""

    alerts: list[Alert]
    n_scored: int
    """Readings that the worker took, over all rounds."""


def wait_until_ready(worker: Child, port: int) -> None:
    """Wait for the worker's `/readyz`.

    Raises:
        PipelineError: it ended, or took too long.
    """
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        worker.check_running()
        if _get(port, "/readyz") is not None:
            return
        time.sleep(0.1)
    raise PipelineError(f"the worker was not ready within {START_TIMEOUT_S:.0f} s")


def stream(
    console: Console,
    bootstrap_servers: str,
    worker: Child,
    port: int,
    table: Table,
    readings_per_s: float,
    keep_running: bool,
    archive: Path,
    raise_if_stopped: Callable[[], None],
) -> Streamed:
    """Send the table and show what arrives.

    Ends once each reading is scored and each alert that the worker counts has arrived; with
    `keep_running` upon Ctrl-C.

    Args:
        console: where to show it.
        bootstrap_servers: Kafka.
        worker: the worker's process.
        port: of its metrics.
        table: what to send.
        readings_per_s: how fast.
        keep_running: whether to send it again and again.
        archive: file for the alerts, as they came, one a line.
        raise_if_stopped: raises KeyboardInterrupt once there was a Ctrl-C.

    Raises:
        PipelineError: the worker ended, or did not get through.
    """
    producer = KafkaPythonProducer(bootstrap_servers=bootstrap_servers)
    consumer = KafkaPythonConsumer(
        bootstrap_servers=bootstrap_servers, group_id="operators", topic="alerts"
    )
    alerts: list[Alert] = []
    replay = Replay(producer, "readings", table, readings_per_s, keep_running)
    n_total = None if keep_running else len(table)
    try:
        with archive.open("wb") as file, Screen(console) as screen, replay:
            began_s = sent_s = time.monotonic()
            while time.monotonic() - sent_s < END_TIMEOUT_S:
                raise_if_stopped()
                worker.check_running()
                _receive(consumer, file, screen, alerts)
                now = totals(_get(port, "/metrics") or "")
                n_read = int(now.get("pipeline_readings_total", 0))
                screen.state(
                    StreamState(
                        n_sent=replay.n_sent,
                        n_total=n_total,
                        n_read=n_read,
                        readings_per_s=n_read / (time.monotonic() - began_s),
                        lag=now.get("pipeline_consumer_lag_records", 0),
                        n_open=int(now.get("pipeline_incidents_open", 0)),
                    )
                )
                if not replay.is_done:
                    sent_s = time.monotonic()
                elif n_read >= replay.n_sent and len(alerts) >= now.get(
                    "pipeline_alerts_sent_total", 0
                ):
                    return Streamed(alerts, n_read)
        raise PipelineError(
            f"the worker scored {n_read} of {replay.n_sent} readings within "
            f"{END_TIMEOUT_S:.0f} s; its log says why"
        )
    except KeyboardInterrupt:
        if not keep_running:
            raise
        now = totals(_get(port, "/metrics") or "")
        return Streamed(alerts, int(now.get("pipeline_readings_total", 0)))
    finally:
        consumer.close(1.0)
        producer.close(1.0)


def _receive(
    consumer: KafkaPythonConsumer, file: BinaryIO, screen: Screen, alerts: list[Alert]
) -> None:
    for record in consumer.poll(max_records=500, timeout_s=0.2).records:
        if record.value is None:
            continue
        file.write(record.value + b"\n")
        alert = decode(record.value)
        alerts.append(alert)
        screen.alert(alert)
    file.flush()


def _get(port: int, path: str) -> str | None:
    """A page of the worker, None if it does not answer with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as page:
            text: str = page.read().decode()
            return text
    except OSError:
        return None
