"""What a command line was given, before anything is done with it."""

from pathlib import Path

from pipeline.errors import InputError


def given_path(text: str) -> Path:
    """A path, as a parser for Typer.

    Raises:
        InputError: it is empty, which `Path` takes for the current folder.
    """
    if not text:
        raise InputError(
            "expected a path, got an empty one; is it a shell variable that is not set?"
        )
    return Path(text)
