"""Text of others, made safe to print: whoever sends readings chooses the units' names."""

SUBSTITUTE = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
BARS = "▁▂▃▄▅▆▇█"


def printable(text: str, max_chars: int) -> str:
    """The text, without what a terminal would obey, and not too long.

    Escape sequences, line breaks, and marks that turn the direction of writing around are
    each replaced by one character.
    """
    cut = text if len(text) <= max_chars else text[: max_chars - 1] + ELLIPSIS
    return "".join(c if c.isprintable() else SUBSTITUTE for c in cut)


def number(value: float) -> str:
    """Short whatever its size: a score may be 1e300."""
    return f"{value:.2f}" if abs(value) < 1e4 else f"{value:.1e}"


def sparkline(values: list[float]) -> str:
    """A bar for each value, from 0 to the largest.

    Args:
        values: finite, of any sign; what is negative is as low as 0.
    """
    largest = max(values, default=0.0)
    if largest <= 0:
        return BARS[0] * len(values)
    top = len(BARS) - 1
    return "".join(BARS[round(max(0.0, value / largest) * top)] for value in values)
