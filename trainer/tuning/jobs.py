"""Processes that work on the same search."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

CHECK_S = 0.2


class Jobs:
    """Further processes with the same command line. A context manager: it ends them."""

    def __init__(self, n_jobs: int, arguments: Sequence[str]) -> None:
        """Start them.

        Args:
            n_jobs: how many.
            arguments: of `trainer`.
        """
        command = [sys.executable, "-m", "trainer", *arguments]
        # In a session of their own: Ctrl-C reaches this process alone, which tells them.
        self._children = [
            subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for _ in range(n_jobs)
        ]

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in self._children:
            child.wait()

    def wait(self) -> bool:
        """Wait a little. Whether all have ended."""
        for child in self._children:
            if child.poll() is None:
                try:
                    child.wait(CHECK_S)
                except subprocess.TimeoutExpired:
                    return False
        return True

    def ended_badly(self) -> list[int]:
        """Exit codes of those that did not end well."""
        return [child.returncode for child in self._children if child.returncode]


def is_orphan(parent: int | None) -> bool:
    """Whether the process that this one works for has gone."""
    return parent is not None and os.getppid() != parent
