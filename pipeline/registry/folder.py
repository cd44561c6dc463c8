"""A registry: a folder of detectors, and links to the one in use and the one before.

    detectors/2026-11-28/
    detectors/2026-12-05/
    detectors/current  -> 2026-12-05
    detectors/previous -> 2026-11-28

The links are relative, so that the folder may be mounted anywhere.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.detector.files import NAMES
from pipeline.errors import InputError, one_line

CURRENT = "current"
PREVIOUS = "previous"
LINKS = (CURRENT, PREVIOUS)


class Registry:
    """Owns the two links of one folder."""

    def __init__(self, folder: Path) -> None:
        """Raise InputError unless `folder` is one that can be read."""
        self.folder = folder
        self.names()

    def names(self) -> list[str]:
        """Folders in it, in order of their names; not links, and nothing hidden."""
        try:
            with os.scandir(self.folder) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                    and _can_be_named(entry.name)
                    and entry.name not in LINKS
                )
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be read ({error.strerror}); expected a folder with "
                "detectors in it, each as `trainer fit --out` writes it"
            ) from error

    def detector(self, name: str) -> Path:
        """The folder of a detector.

        Raises:
            InputError: `name` is not that of a folder in this one.
        """
        if name in LINKS:
            raise InputError(
                f"{name}: that is a link; name the detector itself, one of {self._shown()}"
            )
        if not _can_be_named(name):
            raise InputError(
                f"{name!r}: expected the name of a folder in {self.folder}, without "
                f"slashes or a leading dot: one of {self._shown()}"
            )
        folder = self.folder / name
        if folder.is_symlink():
            raise InputError(
                f"{folder}: that is a link, and may lead anywhere; name the detector itself"
            )
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; in {self.folder} there are {self._shown()}"
            )
        return folder

    def target(self, link: str) -> str | None:
        """The name that a link holds; None where there is none yet. It may be gone.

        Raises:
            InputError: it is not a link, or leads out of the registry.
        """
        path = self.folder / link
        if not os.path.lexists(path):
            return None
        if not path.is_symlink():
            found = "folder" if path.is_dir() else "file"
            raise InputError(
                f"{path}: expected a link to a detector beside it, found a {found}; rename "
                "it, and promote it by its new name"
            )
        try:
            text = os.readlink(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        name = os.path.basename(os.path.normpath(text))
        beside = os.path.realpath(self.folder / os.path.dirname(text))
        is_inside = beside == os.path.realpath(self.folder)
        if not is_inside or name in (*LINKS, os.curdir, os.pardir):
            raise InputError(
                f"{path}: expected a link to a detector in {self.folder}, found one to "
                f"{text!r}; remove it (`rm {path}`), and promote by name"
            )
        return name

    def switch(self, link: str, name: str) -> None:
        """Have a link lead to a detector. Whoever opens it sees the old one or the new.

        Raises:
            InputError: it cannot be written; it leads where it did.
        """
        path = self.folder / link
        # Random: two calls at once must not write the same.
        building = self.folder / f".{link}-{secrets.token_hex(8)}"
        try:
            try:
                building.symlink_to(name)
                os.replace(building, path)
            finally:
                building.unlink(missing_ok=True)
            flush(self.folder)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be switched to {name}: {one_line(error.strerror or error)}"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the links: another call waits.

        Not where the file system has no such locks (NFS of some age). There each switch is
        whole all the same, and of two calls at once one is overwritten by the other.
        """
        file = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _shown(self) -> str:
        names = self.names()
        if not names:
            return "none"
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        return ", ".join(names[-10:]) + more


def _can_be_named(name: str) -> bool:
    # What is hidden is being written. What cannot be printed would garble what we say.
    return name.isprintable() and "/" not in name and name[:1] not in ("", ".")


def flush_detector(folder: Path) -> None:
    """See to it that a detector is on the disk before a link to it is: after a power cut
    there would be a link to a folder of empty files.

    Raises:
        InputError: the disk refused.
    """
    try:
        for name in NAMES:
            flush(folder / name)
        flush(folder)
        flush(folder.parent)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made durable: {one_line(error.strerror or error)}"
        ) from error


def flush(path: Path) -> None:
    """Have the disk hold a file or a folder as it is now."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
