"""What the libraries that decode a detector's files would let pass."""

import json

from pipeline.errors import DetectorError, one_line

MAX_SHOWN = 80
MAX_SHOWN_OF_ERROR = 500


def refuse_repeated_names(text: bytes, where: str) -> None:
    """Raise DetectorError if a JSON object in `text` has a name twice.

    Which of the two counts differs from reader to reader, so it could be one thing to who
    reviews it and another to who loads it. Text that is no JSON is left to its decoder.
    """
    try:
        json.loads(text, object_pairs_hook=_unrepeated)
    except _RepeatedError as error:
        raise DetectorError(f"{where}: {error} stands there twice") from None
    except (ValueError, RecursionError):
        return


def shown(value: object) -> str:
    """A value from a file as part of a line, which it must not make a long one."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def shortened(error: Exception) -> str:
    """What a library says of a file, which may quote a name of any length."""
    return one_line(error)[:MAX_SHOWN_OF_ERROR]


class _RepeatedError(Exception):
    pass


def _unrepeated(pairs: list[tuple[str, object]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise _RepeatedError(shown(name))
        names.add(name)
