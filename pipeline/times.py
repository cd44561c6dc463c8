"""Times as the project reads and writes them: ISO 8601 in UTC, and seconds since 1970."""

import math
import re
from datetime import UTC, datetime

END_OF_CALENDAR_S = 253_402_300_800.0
"""Year 10000, the first that ISO 8601's four digits cannot write."""

SECONDS_OF = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_iso_s(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time; without an offset it is UTC.

    Raises:
        ValueError: not ISO 8601.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    try:
        return time.timestamp()
    except OverflowError as error:
        raise ValueError(str(error)) from error


def iso_time(time_s: float) -> str:
    """ISO 8601 in UTC with a Z, fractions of a second only where there are some."""
    return datetime.fromtimestamp(time_s, UTC).isoformat().replace("+00:00", "Z")


def moment_s(time_s: float) -> float:
    """A time that someone asks for, brought into what can be written: at least 0.

    Raises:
        ValueError: not finite, or not before the year 10000.
    """
    if not -math.inf < time_s < END_OF_CALENDAR_S:
        raise ValueError(f"expected a time before the year 10000, got {time_s:g}")
    return max(0.0, time_s)


def length_s(text: str) -> float:
    """Seconds of a length of time: `1s`, `250ms`, `5min`, `1h`, `1d` or a number of them.

    Raises:
        ValueError: none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|)", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"expected a length of time, got {text!r}")
    return float(match[1]) * SECONDS_OF[match[2]]
