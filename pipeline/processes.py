"""`pipeline run --processes N`: several members of the consumer group as one command.

This process starts them, answers for them on one port, and ends with them. It imports no
torch. It starts none again: that is for whatever started this one, and what ends one of
them, a detector that is damaged or a Kafka that is gone, mostly ends the others too.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import structlog
from prometheus_client import CollectorRegistry

from pipeline.configure import REVEALED
from pipeline.errors import PipelineError, ProcessEnded, StopTimedOut
from pipeline.health import HealthServer
from pipeline.processes_pages import HOST, ProcessPages
from pipeline.settings import Settings
from pipeline.signals import StopSignals

log = structlog.get_logger()

STOP_TIMEOUT_S = 9.3
"""From the request to the last one's end: each grants itself 9 s at most, a container's
runtime 10 in all."""
LOOK_EVERY_S = 0.05
MIN_STATE_BYTES = 2**20
NO_FAILURES = (0, None, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes while stopping. A signal to all ends a child that has only just been started
before it can take the signal as a request. None: to be killed."""


class Child:
    """One of the processes. Owns it, and both pipes; see `processes_child`."""

    def __init__(self, number: int, settings: Settings) -> None:
        """Start it.

        Args:
            number: from 0; what its log lines and metrics are labelled with.
            settings: its own, see `settings_of`.

        Raises:
            PipelineError: the system starts no more processes.
        """
        self.number = number
        self.started_s = time.monotonic()
        self.port: int | None = None
        self.error: str | None = None
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *_path_options(), "-m", "pipeline", "process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                # A terminal's Ctrl-C is for us to pass on, once it can be taken.
                start_new_session=True,
            )
        except OSError as error:
            raise PipelineError(f"cannot start process {number}: {error}") from error
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        # By a pipe, not by the command line or the environment: there are secrets in it.
        own = settings.model_dump(mode="json", context=REVEALED)
        order = {"process": number, "settings": own}
        # One that is gone already is found to be soon enough.
        with suppress(BrokenPipeError):
            self._stdin.write(json.dumps(order).encode() + b"\n")

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if one killed it."""
        return self._process.poll()

    @property
    def outcome(self) -> str:
        """How it ended, as part of a line. Only once it has."""
        code = self._process.wait()
        # What it said last may still be under way.
        self._listener.join(LOOK_EVERY_S)
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}" + (f": {self.error}" if self.error else "")

    def ask_to_stop(self) -> None:
        """Have it finish the batch in hand, commit, and leave the group."""
        self._stdin.close()

    def kill(self) -> None:
        """See to it that it is gone."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        with cast(IO[bytes], self._process.stdout) as lines:
            for line in lines:
                message = json.loads(line)
                self.port = message.get("port", self.port)
                self.error = message.get("error", self.error)


def run(settings: Settings, signals: StopSignals) -> None:
    """Work in `settings.processes` processes until a signal asks to stop.

    Raises:
        InputError: the port cannot be listened on.
        ProcessEnded: one of them ended by itself, or not well.
        StopTimedOut: one of them did not stop in time, and was killed.
    """
    children: list[Child] = []
    pages = ProcessPages(children, settings.http.max_turn_s)
    registry = CollectorRegistry()
    registry.register(pages)
    # Before any of them starts, for the port may be taken.
    server = HealthServer(settings.http.host, settings.http.port, registry, pages)
    try:
        with signals.work_to_finish(STOP_TIMEOUT_S):
            numbers = range(settings.processes)
            children.extend(Child(n, settings_of(settings, n)) for n in numbers)
            with server:
                log.info(
                    "processes_started",
                    n_processes=settings.processes,
                    http_port=server.port,
                )
                _work(children, signals)
    finally:
        for child in children:
            child.kill()
    log.info("processes_stopped")


def settings_of(settings: Settings, number: int) -> Settings:
    """The settings of one of several processes: its share, and a port of its own."""
    instance_id = settings.kafka.group_instance_id
    own_id = None if instance_id is None else f"{instance_id}-{number}"
    state_bytes = settings.max_state_bytes // settings.processes
    return settings.model_copy(
        update={
            "processes": 1,
            "max_state_bytes": max(MIN_STATE_BYTES, state_bytes),
            "kafka": settings.kafka.model_copy(update={"group_instance_id": own_id}),
            "http": settings.http.model_copy(update={"host": HOST, "port": 0}),
        }
    )


def _work(children: Sequence[Child], signals: StopSignals) -> None:
    """Wait for the request to stop, or for the end of one; then stop them all."""
    first: Child | None = None
    while not signals.requested.is_set() and first is None:
        first = next((c for c in children if c.exit_code is not None), None)
        # Not by waiting on the event: the signal that sets it would wait for that wait.
        # After the look, for a signal to a whole group may end a child sooner.
        time.sleep(LOOK_EVERY_S)
    if signals.requested.is_set():
        first = None
    signals.request()
    log.info("stopping")
    for child in children:
        child.ask_to_stop()
    try:
        while any(child.exit_code is None for child in children):
            time.sleep(LOOK_EVERY_S)
    except StopTimedOut:
        if first is None:
            raise
    _raise_for(children, first)


def _raise_for(children: Sequence[Child], first: Child | None) -> None:
    """Say how it ended: of all that went wrong the same way, once."""
    failed = [child for child in children if child.exit_code not in NO_FAILURES]
    cause = first or next(iter(failed), None)
    if cause is None:
        return
    told = {cause.outcome}
    for child in failed:
        if child.outcome not in told:
            told.add(child.outcome)
            log.error("process_failed", detail=f"process {child.number} {child.outcome}")
    detail = f"process {cause.number} {cause.outcome}"
    if cause.exit_code == 0:
        detail += ", and nobody had asked it to"
    raise ProcessEnded(detail, _shell_code(cause))


def _shell_code(child: Child) -> int:
    """What the whole ends with: never 0, as a part of the work is not being done."""
    code = child.exit_code or PipelineError.exit_code
    return 128 - code if code < 0 else code


def _path_options() -> list[str]:
    # With `-m` alone the current folder comes first in the path, and its `pipeline` would
    # be imported, whatever it is. Only where this process was started that way is it ours.
    return [] if Path(sys.path[0]).resolve() == Path.cwd() else ["-P"]
