"""A command of ours as a child process that never outlives the demo."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError

STOP_TIMEOUT_S = 15.0
LOG_TAIL_LINES = 5

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Child:
    """One `pipeline` or `trainer` command, run as anybody would run it.

    Owns the process. It has a process group of its own, so that Ctrl-C in the terminal
    reaches the demo alone, which then stops its children in order. A context manager.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            command: `pipeline` or `trainer`, then its arguments.
            environment: all its variables.
            log: file for all it prints; None lets it print to the terminal.
        """
        self._name = " ".join(command[:2])
        self._log = log
        self._log_file: IO[bytes] | None = log.open("wb") if log else None
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=self._log_file,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )

    def finish(self) -> None:
        """Wait until it ends by itself.

        Raises:
            PipelineError: its exit code is not 0.
        """
        if self._process.wait() != 0:
            raise PipelineError(self._failure())

    def check_running(self) -> None:
        """Raise PipelineError if it has ended."""
        if self._process.poll() is not None:
            raise PipelineError(self._failure())

    def stop(self) -> None:
        """Ask it to end, and see to it that it does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._log_file is not None:
            self._log_file.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _failure(self) -> str:
        text = f"{self._name} ended with exit code {self._process.returncode}"
        if self._log is None:
            return text
        tail = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"{text}; the end of {self._log}: " + " | ".join(tail)


def _end_with_parent() -> None:
    """Between fork and exec: have the kernel send SIGTERM when the demo is gone, killed
    or not. Bound to the thread that starts the child, which is the demo's main one."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
