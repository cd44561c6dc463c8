"""The table of incidents, fitted to a terminal's width."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from pipeline.events import duration_text
from pipeline.follow.incidents import Incident
from pipeline.follow.printable import number, printable, sparkline
from pipeline.times import iso_time

MAX_UNIT_CELLS = 32
MAX_SENSOR_CELLS = 24
MIN_CELLS = 12
"""Of names; fewer tell too little."""
GAP_CELLS = 2
COLUMNS = ("unit", "severity", "since", "for", "peak", "scores", "sensors")
DROPPED = ("scores", "since", "sensors", "for")
"""Where there is no room for all, in this order."""
STYLES = {"critical": "bold red", "warning": "yellow"}


def row(incident: Incident, until_s: float) -> dict[str, Text]:
    """What each column says of it.

    Args:
        incident: open or closed.
        until_s: when it ended, or now, seconds since 1970.
    """
    style = STYLES.get(incident.severity, "")
    # A sensor's clock may be ahead of ours.
    open_s = max(0.0, until_s - incident.opened_s)
    return {
        "unit": Text(printable(incident.unit, MAX_UNIT_CELLS)),
        "severity": Text(incident.severity, style),
        "since": Text(iso_time(incident.opened_s)[:19].replace("T", " ")),
        "for": Text(duration_text(open_s)),
        "peak": Text(number(incident.peak_score), style),
        "scores": Text(sparkline(list(incident.scores)), style),
        "sensors": Text(sensors_text(incident.sensors)),
    }


def widths_that_fit(rows: Sequence[Mapping[str, Text]], width_cells: int) -> dict[str, int]:
    """The columns there is room for, and how wide each is.

    Severity and peak are never cut or left out. A unit's name takes two fifths of the line
    at most, and what no other column needs.

    Args:
        rows: of `row`, all that are to be shown.
        width_cells: of the terminal.

    Returns:
        Cells per column, less the gaps between them.
    """
    full = {
        name: max(cell_len(name), *(cell_len(each[name].plain) for each in rows), 0)
        for name in COLUMNS
    }
    widths = {
        **full,
        "unit": min(full["unit"], max(MIN_CELLS, width_cells * 2 // 5)),
        "sensors": min(full["sensors"], MIN_CELLS),
    }
    for name in DROPPED:
        if _spare_cells(widths, width_cells) >= 0:
            break
        del widths[name]
    for name in ("sensors", "unit"):
        if name in widths:
            spare = _spare_cells(widths, width_cells)
            widths[name] = max(1, min(full[name], widths[name] + spare))
    return widths


def table(
    title: str, rows: Sequence[Mapping[str, Text]], widths: Mapping[str, int]
) -> Table:
    """These rows, in these columns."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name, width_cells in widths.items():
        drawn.add_column(
            name,
            justify="right" if name in ("for", "peak") else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width_cells,
        )
    for each in rows:
        drawn.add_row(*(each[name] for name in widths))
    return drawn


def sensors_text(names: Sequence[str]) -> str:
    """Their names in a line."""
    return ", ".join(printable(name, MAX_SENSOR_CELLS) for name in names)


def _spare_cells(widths: Mapping[str, int], width_cells: int) -> int:
    return width_cells - sum(widths.values()) - GAP_CELLS * (len(widths) - 1)
