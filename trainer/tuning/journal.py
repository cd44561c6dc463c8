"""The file of a search: lines of JSON that several processes append to."""

from pathlib import Path
from typing import Any, cast

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from pipeline.errors import InputError
from trainer.tuning.lock import StudyLock

JOURNAL = b'{"op_code":'
"""What a journal begins with."""


def no_search(path: Path) -> InputError:
    """What to say of a file that is none."""
    return InputError(
        f"--study {path}: expected a search that `trainer tune` began, this is none or "
        "damaged; give another file"
    )


def check_journal(path: Path) -> None:
    """Raise InputError before anything is written to a file of another kind."""
    with path.open("rb") as file:
        if file.read(len(JOURNAL)) != JOURNAL:
            raise no_search(path)


def end_with_whole_line(path: Path) -> None:
    """Take off half a line, left by a process that was killed as it wrote."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


def storage_of(path: Path, lock: StudyLock) -> JournalStorage:
    """The file as Optuna reads and writes it; created if it is not there."""
    # Its own locks are files that stay behind where a process is killed.
    return JournalStorage(JournalFileBackend(str(path), cast(Any, lock)))
