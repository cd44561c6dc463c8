"""What every page shares: its template's filters, its style, how numbers are written."""

import math
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from pipeline.events import duration_text
from pipeline.times import iso_time

MAX_NAME = 60
"""Letters of a name that are shown."""


def page_template(package: str, file: str, step_s: float) -> Template:
    """A page's template, with filters for names, numbers, times and durations.

    Args:
        package: the one that `file` is in.
        file: the template.
        step_s: usual time from reading to reading.
    """
    # Everything that is put in is escaped; only pictures, whose text is ours, are not.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        name=_name, number=number_text, time=_time_text(step_s), duration=duration_text
    )
    return environment.from_string(_text_of(package, file))


def style_sheet() -> str:
    """The style of every page."""
    return _text_of(__package__, "page.css")


def _text_of(package: str, file: str) -> str:
    return (resources.files(package) / file).read_text("utf-8")


def number_text(value: float | None) -> str:
    """Three digits that count, as people write numbers; a dash for no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _name(text: str) -> str:
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


def _time_text(step_s: float) -> Any:
    """A filter for times, with seconds only where readings come that often."""
    with_seconds = step_s < 60

    def time_text(time_s: float) -> str:
        text = iso_time(time_s)
        return text[:10] + " " + text[11 : 19 if with_seconds else 16]

    return time_text
