"""How incidents and alerts look: tables on a terminal, lines elsewhere."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from pipeline.alert import Alert
from pipeline.follow.incidents import MAX_SENSORS, Incidents
from pipeline.follow.printable import number, printable
from pipeline.follow.table import MAX_UNIT_CELLS, row, sensors_text, table, widths_that_fit
from pipeline.times import iso_time

N_AROUND = 8
"""Lines that are not rows of the tables: titles, headings, rules, totals."""


class Frame(NamedTuple):
    """What the picture has to fit, and when it is drawn."""

    width_cells: int
    n_lines: int
    now_s: float
    """Seconds since 1970."""


def screen(
    incidents: Incidents, title: str, frame: Frame, since_s: float, has_caught_up: bool
) -> RenderableType:
    """The whole picture.

    Args:
        incidents: what to show.
        title: what is followed.
        frame: the terminal.
        since_s: since when alerts were read, seconds since 1970; 0 is all.
        has_caught_up: whether all of them were.
    """
    numbers = totals(incidents, since_s)
    room = frame.n_lines - N_AROUND - cell_len(numbers) // frame.width_cells
    n_recent = min(len(incidents.recent), max(1, room // 4))
    worst = incidents.worst(max(2, room) - n_recent)
    # How long it has been open; of a closed one, how long it was.
    open_rows = [row(each, frame.now_s) for each in worst]
    closed_rows = [row(each, each.newest_s) for each in incidents.recent[:n_recent]]
    widths = widths_that_fit([*open_rows, *closed_rows], frame.width_cells)
    parts: list[RenderableType] = [Text(title, "bold", no_wrap=True, overflow="ellipsis")]
    if worst:
        parts.append(table("open", open_rows, widths))
        if n_hidden := incidents.n_open - len(worst):
            parts.append(Text(f"and {n_hidden:,} more are open", "dim"))
    elif has_caught_up and since_s:
        parts.append(Text(f"no incident is open that was told of {_since(since_s)}"))
    elif has_caught_up:
        parts.append(Text("no incident is open, by what the topic still holds", "green"))
    if not has_caught_up:
        parts.append(Text("reading what was published before ...", "dim"))
    if n_recent:
        parts.append(table("closed lately", closed_rows, widths))
    parts.append(Text(numbers, "dim"))
    return Group(*parts)


def totals(incidents: Incidents, since_s: float) -> str:
    """One line of numbers."""
    counted = incidents.totals
    told_of = f"{counted.n_seen:,} told of" + (f" {_since(since_s)}" if since_s else "")
    words = [
        f"{incidents.n_open:,} open, {incidents.n_critical:,} of them critical",
        f"{counted.n_closed:,} closed, of {told_of}",
    ]
    if counted.n_beyond:
        words.append(f"{counted.n_beyond:,} more opened than are followed")
    if counted.n_repeats:
        words.append(f"{counted.n_repeats:,} repeats")
    if counted.n_malformed:
        words.append(f"{counted.n_malformed:,} records that are no alerts")
    return "; ".join(words)


def open_lines(incidents: Incidents, since_s: float) -> Iterator[str]:
    """What is open, the worst first, a line each; then the totals. Without colours."""
    for incident in incidents.worst(incidents.n_open):
        yield "  ".join(
            [
                f"{incident.severity:<8}",
                f"since {iso_time(incident.opened_s)}",
                f"peak {number(incident.peak_score)}",
                printable(incident.unit, MAX_UNIT_CELLS),
                sensors_text(incident.sensors),
            ]
        )
    yield totals(incidents, since_s)


def alert_line(alert: Alert) -> str:
    """One alert, for a log."""
    return "  ".join(
        [
            f"{alert.state:<7}",
            printable(alert.time, MAX_UNIT_CELLS),
            f"{alert.severity:<8}",
            f"score {number(alert.score)}",
            f"peak {number(alert.peak_score)}",
            printable(alert.unit, MAX_UNIT_CELLS),
            sensors_text([sensor.name for sensor in alert.sensors[:MAX_SENSORS]]),
        ]
    )


def json_line(value: bytes, alert: Alert) -> str:
    """A record in one line of ASCII: whatever it holds, no terminal obeys.

    With the fields that this version does not know, unless one of these is a number or
    nested deeper than Python takes.
    """
    try:
        content = json.loads(value)
    except (RecursionError, ValueError):
        content = msgspec.to_builtins(alert)
    return json.dumps(content, separators=(",", ":"))


def _since(since_s: float) -> str:
    return f"since {iso_time(int(since_s))}"
