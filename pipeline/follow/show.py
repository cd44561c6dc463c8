"""How incidents and alerts look: tables on a terminal, lines elsewhere."""

import json
from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.alert import Alert
from pipeline.events import duration_text
from pipeline.follow.incidents import MAX_SENSORS, Incident, Incidents
from pipeline.follow.printable import number, printable, sparkline
from pipeline.times import iso_time

MAX_UNIT_CHARS = 32
MAX_SENSOR_CHARS = 24
N_AROUND = 8
"""Lines that are not rows of the tables: titles, headings, rules, totals."""
STYLES = {"critical": "bold red", "warning": "yellow"}
COLUMNS = ("unit", "severity", "since", "for", "peak", "scores", "sensors")


def screen(
    incidents: Incidents, title: str, n_lines: int, since_s: float, has_caught_up: bool
) -> RenderableType:
    """The whole picture, in so many lines.

    Args:
        incidents: what to show.
        title: what is followed.
        n_lines: height of the terminal.
        since_s: since when alerts were read, seconds since 1970; 0 is all.
        has_caught_up: whether all of them were.
    """
    room = max(2, n_lines - N_AROUND)
    n_recent = min(len(incidents.recent), max(1, room // 4))
    worst = incidents.worst(room - n_recent)
    parts: list[RenderableType] = [Text(title, "bold", no_wrap=True, overflow="ellipsis")]
    if worst:
        parts.append(_table("open", worst))
        if n_hidden := incidents.n_open - len(worst):
            parts.append(Text(f"and {n_hidden:,} more are open", "dim"))
    elif has_caught_up:
        parts.append(Text("no incident is open", "green"))
    if not has_caught_up:
        parts.append(Text("reading what was published before ...", "dim"))
    if n_recent:
        parts.append(_table("closed lately", incidents.recent[:n_recent]))
    parts.append(Text(totals(incidents, since_s), "dim"))
    return Group(*parts)


def totals(incidents: Incidents, since_s: float) -> str:
    """One line of numbers."""
    counted = incidents.totals
    since = f" since {iso_time(int(since_s))}" if since_s else ""
    words = [
        f"{incidents.n_open:,} open, {incidents.n_critical:,} of them critical",
        f"{counted.n_opened:,} opened and {counted.n_closed:,} closed{since}",
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
                printable(incident.unit, MAX_UNIT_CHARS),
                _sensors(incident.sensors),
            ]
        )
    yield totals(incidents, since_s)


def alert_line(alert: Alert) -> str:
    """One alert, for a log."""
    return "  ".join(
        [
            f"{alert.state:<7}",
            printable(alert.time, MAX_UNIT_CHARS),
            f"{alert.severity:<8}",
            f"score {number(alert.score)}",
            f"peak {number(alert.peak_score)}",
            printable(alert.unit, MAX_UNIT_CHARS),
            _sensors([sensor.name for sensor in alert.sensors[:MAX_SENSORS]]),
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


def _table(title: str, incidents: Sequence[Incident]) -> Table:
    table = Table(title=title, title_justify="left", expand=True, box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(
            name,
            justify="right" if name in ("for", "peak") else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if name == "sensors" else None,
        )
    for each in incidents:
        style = STYLES.get(each.severity, "")
        table.add_row(
            Text(printable(each.unit, MAX_UNIT_CHARS)),
            Text(each.severity, style),
            Text(iso_time(each.opened_s)[:19].replace("T", " ")),
            Text(duration_text(each.newest_s - each.opened_s)),
            Text(number(each.peak_score), style),
            Text(sparkline(list(each.scores)), style),
            Text(_sensors(each.sensors)),
        )
    return table


def _sensors(names: Sequence[str]) -> str:
    return ", ".join(printable(name, MAX_SENSOR_CHARS) for name in names)
