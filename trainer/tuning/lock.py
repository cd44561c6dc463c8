"""Which processes work on a search, and whose turn it is. Released when a process dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError

PRESENT, TURN, WRITE = range(3)
"""Bytes of the lock file, each a lock of its own."""


class StudyLock:
    """Locks on a file beside the study's. Owns it while open.

    They are of the process as a whole: it may hold the file open once only.
    """

    def __init__(self, study: Path) -> None:
        """Open the lock file.

        Raises:
            InputError: it cannot be written.
        """
        path = study.with_name(study.name + ".lock")
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise InputError(
                f"--study {study}: cannot be written: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Give up all locks."""
        self._file.close()

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Hold the turn. Whether no other process works on the search."""
        with self._held(TURN):
            yield self._is_alone()

    def acquire(self) -> bool:
        """Hold the right to write: what Optuna calls."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, WRITE)
        return True

    def release(self) -> None:
        """Give it back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, WRITE)

    @contextmanager
    def _held(self, byte: int) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)

    def _is_alone(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PRESENT)
            is_alone = True
        except OSError:
            is_alone = False
        # Present from now on; a lock of one's own is replaced.
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, PRESENT)
        return is_alone
