"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.errors import InputError


@contextmanager
def replaced_whole(path: Path, what: str) -> Iterator[Path]:
    """An empty file to write to, which becomes `path` once the block has ended well.

    Until then it has another name beside `path`: nobody reads half of it, and a failure
    leaves what was there before.

    Args:
        path: the file; its folder must exist.
        what: what it is, for messages: `the scores`.

    Raises:
        InputError: it cannot be written.
    """
    building: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(descriptor)
        building = Path(name)
        yield building
        building.chmod(0o644)
        building.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: {what} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        if building is not None:
            building.unlink(missing_ok=True)


@contextmanager
def written_whole(path: Path, what: str) -> Iterator[TextIO]:
    """A text file to write, see `replaced_whole`."""
    with (
        replaced_whole(path, what) as building,
        building.open("w", newline="", encoding="utf-8") as file,
    ):
        yield file
