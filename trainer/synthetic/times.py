"""Times and steps as the command line has them."""

from pipeline.errors import InputError
from pipeline.times import END_OF_CALENDAR_S, length_s, parse_iso_s

MIN_STEP_S = 1e-6
"""Times are kept to a microsecond."""


def length_of_step_s(text: str) -> float:
    """`1s`, `250ms`, `5min`, `1h`, `1d` or a number of seconds, in seconds.

    Raises:
        InputError: none of these, or shorter than a microsecond.
    """
    try:
        step_s = length_s(text)
    except ValueError:
        step_s = 0.0
    if not MIN_STEP_S <= step_s < END_OF_CALENDAR_S:
        raise InputError(
            f"--step {text}: expected a length of time, for example 1s or 5min"
        )
    return step_s


def time_of_start_s(text: str) -> float:
    """An ISO 8601 time, in seconds since 1970.

    Raises:
        InputError: it is none, or before 1970.
    """
    try:
        start_s = parse_iso_s(text)
    except ValueError:
        start_s = -1.0
    if start_s < 0:
        raise InputError(
            f"--start {text}: expected a time since 1970, for example 2026-01-01T00:00:00Z"
        )
    return start_s
