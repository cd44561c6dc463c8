"""Put a finished folder where an old one stands; at no moment are both of them lost."""

import ctypes
import os
from pathlib import Path

from pipeline.detector.files import NAMES
from pipeline.errors import InputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def replace_folder(building: Path, folder: Path) -> None:
    """Rename `building` to `folder` and remove the detector that stood there, if any.

    Whatever stops it (a failure, Ctrl-C, a kill), the old detector or the new one is whole.
    Both stand in the same folder, so that renaming moves no content.

    Raises:
        OSError: renaming failed; the old detector is where it was.
        InputError: so did putting it back; the message says where it is.
    """
    if not folder.exists() or not any(folder.iterdir()):
        building.rename(folder)  # rename() replaces an empty folder
    elif exchange(building, folder):
        remove_detector(building)
    else:
        _step_aside(building, folder)


def exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step. False where the system or its file system cannot.

    Source: renameat2(2), RENAME_EXCHANGE; Linux 3.15, glibc 2.28.
    """
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    arguments = (_AT_FDCWD, names[0], _AT_FDCWD, names[1])
    return bool(renameat2(*arguments, ctypes.c_uint(_RENAME_EXCHANGE)) == 0)


def remove_detector(folder: Path) -> None:
    """Remove a detector's files and their folder; what else is in it stays, and it too."""
    try:
        for name in NAMES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
    except OSError:
        # The new detector stands and is whole; a hidden folder is left over beside it.
        return


def _step_aside(building: Path, folder: Path) -> None:
    aside = building.with_name(f"{building.name}-old")
    try:
        folder.rename(aside)
        building.rename(folder)
    except BaseException as error:
        # Ctrl-C too, and wherever between the two it came.
        if aside.exists() and not folder.exists():
            _put_back(aside, folder, error)
        raise
    remove_detector(aside)


def _put_back(aside: Path, folder: Path, cause: BaseException) -> None:
    try:
        aside.rename(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written: {cause or type(cause).__name__}; the detector "
            f"that stood there is now {aside}, as putting it back failed: {error}"
        ) from cause
