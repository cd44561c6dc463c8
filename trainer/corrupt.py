"""How `--corrupt` says what training does to windows."""

import math

PARTS = ("noise", "sensors", "stretches")
LARGEST = {"noise": 10.0, "sensors": 1.0, "stretches": 1.0}
"""Networks see no values further than 10 standard deviations from the mean."""


def parse_corrupt(text: str) -> dict[str, float]:
    """The parts that `noise:1,sensors:0.25` names, as `Corruption` calls them.

    Raises:
        ValueError: it says something else.
    """
    parts: dict[str, float] = {}
    for part in text.split(",") if text else []:
        name, _, number = part.strip().partition(":")
        if name in parts:
            raise ValueError(f"{text!r} names {name} twice")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        # Not so of NaN either.
        if name not in PARTS or not 0.0 <= value <= LARGEST[name]:
            raise ValueError(
                "expected noise:N (0 to 10 standard deviations), sensors:S, stretches:S "
                f"(shares, 0 to 1) or some of them, separated by commas, got {text!r}"
            )
        parts[name] = value
    return parts
