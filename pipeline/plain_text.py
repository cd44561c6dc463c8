"""Text of others, made safe to print: whoever sends readings chooses the units' names."""

SUBSTITUTE = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """The text, without what a terminal would obey.

    Escape sequences, line breaks, and marks that turn the direction of writing around are
    each replaced by one character.
    """
    return "".join(c if c.isprintable() else SUBSTITUTE for c in text)


def plain_lines(text: str) -> str:
    """The same of each line, of a text that is meant to have several."""
    return "\n".join(plain(line) for line in text.split("\n"))
