"""The four files of a detector's folder, and reading them."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from pipeline.errors import DetectorError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.safetensors"
REFERENCE = "reference.safetensors"
NAMES = (MANIFEST, WEIGHTS, GOLDEN, REFERENCE)

MAX_MANIFEST_BYTES = 16 * 2**20
MAX_TENSORS_BYTES = 2 * 2**30
MAX_GOLDEN_BYTES = 256 * 2**20
"""They are scored when they are loaded, which takes several times as much."""
MAX_REFERENCE_BYTES = 4 * 2**20
"""Of the short windows' values, and of the whole ones' as many again; the file's header
adds less than `MAX_HEADER_BYTES`."""
MAX_HEADER_BYTES = 4096


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of one of a detector's files.

    Raises:
        DetectorError: see `open_file`.
    """
    with open_file(path, max_bytes) as (file, n_bytes):
        # Its size, not `max_bytes`: `read` allocates what it is asked for. A file that
        # grows meanwhile is cut off here, and its digest is that of no detector.
        return file.read(n_bytes)


@contextmanager
def open_file(path: Path, max_bytes: int) -> Iterator[tuple[BufferedReader, int]]:
    """One of a detector's files, and its size in bytes.

    Raises:
        DetectorError: it is missing, no plain file, larger than `max_bytes`, or cannot be
            read, then or later.
    """
    try:
        # Not through a link: a detector is the files in its folder and nothing else.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                raise DetectorError(f"{path}: expected a file of at most {max_bytes} bytes")
            yield file, status.st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def check_there(path: Path) -> None:
    """Raise DetectorError unless this is a plain file, without reading it."""
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not is_file:
        raise DetectorError(f"{path}: expected a file")


# What the path is, and stays until somebody changes it. The rest (a file server that does
# not answer, too many files open, no permission) may pass.
_IS_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO}


def _unreadable(path: Path, error: OSError) -> DetectorError:
    if error.errno in _IS_NO_FILE:
        expected = "expected a detector's folder, as `trainer fit` writes it"
        return DetectorError(f"{path}: cannot be read ({error.strerror}); {expected}")
    return DetectorError(
        f"{path}: cannot be read ({error.strerror}); expected a file that this user may "
        "read, on a disk that answers",
        is_passing=True,
    )
