"""Times as the project reads and writes them: ISO 8601 in UTC, and seconds since 1970."""

from datetime import UTC, datetime

END_OF_CALENDAR_S = 253_402_300_800.0
"""Year 10000, the first that ISO 8601's four digits cannot write."""


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
