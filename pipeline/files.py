"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.errors import InputError


@contextmanager
def written_whole(path: Path, what: str) -> Iterator[TextIO]:
    """A text file to write, which becomes `path` once the block has ended well.

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
        building = Path(name)
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
            yield file
        building.chmod(0o644)
        building.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: {what} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        if building is not None:
            building.unlink(missing_ok=True)
