"""Text of others, made safe to print: whoever sends readings chooses the units' names."""

from rich.cells import cell_len

from pipeline.plain_text import plain

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
BARS = "▁▂▃▄▅▆▇█"


def printable(text: str, max_cells: int) -> str:
    """The text, without what a terminal would obey, and not too long.

    Escape sequences, line breaks, and marks that turn the direction of writing around are
    each replaced by one character.

    Args:
        text: anything.
        max_cells: of a terminal's line, where some characters take two and some none.
            Also the most characters.
    """
    clean = plain(text[: max_cells + 1])
    if max(len(clean), cell_len(clean)) <= max_cells:
        return clean
    while max(len(clean), cell_len(clean)) >= max_cells:
        clean = clean[:-1]
    return clean + ELLIPSIS


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
