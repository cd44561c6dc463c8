"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.detector.files import MANIFEST
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


def check_writable(out: Path, inputs: Sequence[Path], option: str = "--out") -> None:
    """Raise InputError if `out` is a folder, an input or in one, or nowhere to write.

    `option` is what the user gave it by, for messages.
    """
    try:
        if out.is_dir():
            raise InputError(f"{option} {out}: expected a file to write, it is a folder")
        if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
            raise InputError(f"{option} {out}: it would replace what it is made from")
        is_there = out.parent.is_dir()
        detectors = [path for path in inputs if (path / MANIFEST).is_file()]
        if is_there and any(out.parent.samefile(path) for path in detectors):
            raise InputError(
                f"{option} {out}: a detector's folder holds nothing but the detector; "
                "write it elsewhere"
            )
    except OSError as error:
        raise InputError(f"{option} {out}: cannot be written: {error.strerror}") from error
    folder = out.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(
            f"{option} {out}: cannot be written: {folder} is no writable folder"
        )
