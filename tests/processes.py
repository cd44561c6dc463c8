"""Commands of the project as processes, as a container would run them."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.kafka_server import LocalKafka
from pipeline.metrics import totals
from tests.support import wait_until

STOP_TIMEOUT_S = 10.0
"""What the worker promises of a SIGTERM."""


def command(*arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run `pipeline ...` or `trainer ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=without_settings(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class WorkerProcess:
    """`pipeline run` with these settings. A context manager; killed if still running."""

    def __init__(
        self,
        settings: Mapping[str, str],
        log: Path,
        module: Sequence[str] = ("pipeline",),
    ) -> None:
        self._log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *module, "run"],
                env={
                    **without_settings(),
                    "PIPELINE_HTTP__PORT": "0",
                    "PIPELINE_HTTP__HOST": "127.0.0.1",
                    **settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self._port: int | None = None

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def log_events(self) -> list[dict[str, object]]:
        """What it has logged so far. A line that is no JSON is an event of its own."""
        events = []
        for line in self._log.read_text().splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                events.append({"event": line})
        return events

    def get(self, path: str) -> tuple[int, str]:
        """A page's status and text; status 0 while it does not answer."""
        if self._port is None:
            for event in self.log_events():
                # Of several processes each has a page of its own, which is not for us.
                is_ours = "process" not in event
                if is_ours and event["event"] in ("worker_started", "processes_started"):
                    self._port = int(str(event["http_port"]))
        if self._port is None:
            return 0, ""
        try:
            url = f"http://127.0.0.1:{self._port}{path}"
            with urllib.request.urlopen(url, timeout=5) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def port(self) -> int:
        """Where its pages are, once it is ready."""
        assert self._port is not None
        return self._port

    def metric(self, name: str) -> float:
        """A metric's sum over its labels, 0 while there is none."""
        return totals(self.get("/metrics")[1]).get(name, 0.0)

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return self.get("/readyz")[0] == 200

        wait_until(is_ready, "the worker is ready", timeout_s=60)

    def wait_until_read(self, n_readings: int) -> None:
        wait_until(
            lambda: self.metric("pipeline_readings_total") >= n_readings,
            f"{n_readings} readings are read",
        )

    def children(self) -> list[int]:
        """The processes that it has started, in that order."""
        return children(self.process.pid)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


def without_settings() -> dict[str, str]:
    """The environment less what whoever runs the tests has set for workers of his own."""
    ours = ("PIPELINE_", "TRAINER_")
    return {k: v for k, v in os.environ.items() if not k.upper().startswith(ours)}


def children(parent: int) -> list[int]:
    """The processes that this one has started and not waited for, in that order."""
    # Those that a thread has started are listed with that thread. When it ends while the
    # lists are read they move to another's, which may have been read already.
    while True:
        lists = sorted(Path(f"/proc/{parent}/task").glob("*/children"))
        try:
            return [int(pid) for path in lists for pid in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue


@contextmanager
def hung(server: LocalKafka) -> Iterator[None]:
    """While this lasts `server` answers nothing, with every connection left open."""
    assert server._child is not None
    (java,) = children(server._child.pid)
    os.kill(java, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(java, signal.SIGCONT)
