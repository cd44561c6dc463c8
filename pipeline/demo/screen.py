"""What the demo shows: alerts as they arrive, the stream's state, and the summary."""

import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.alert import Alert
from pipeline.events import Comparison, Span, duration_text, summary_lines
from pipeline.times import iso_time

STATE_STYLES = {"opened": "bold red", "updated": "yellow", "closed": "green"}
N_SENSORS_SHOWN = 3
PLAIN_INTERVAL_S = 5.0
"""Without a terminal the state is a line of its own, this often."""


class StreamState(NamedTuple):
    """How far the stream is."""

    n_sent: int
    n_total: int | None
    """None for a stream without an end."""
    n_read: int
    readings_per_s: float
    lag: float
    n_open: int


class Screen:
    """The terminal, or a log where there is none. Owns the line that is drawn anew."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=5, transient=True)
        self._plain_s = -math.inf

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def alert(self, alert: Alert) -> None:
        """Show one alert as a line that stays."""
        why = ", ".join(
            f"{s.name} {s.contribution:.0%} "
            f"({'missing' if s.observed is None else f'{s.observed:g}'}, "
            f"expected {s.expected:.3g})"
            for s in alert.sensors[:N_SENSORS_SHOWN]
        )
        self._console.print(
            Text.assemble(
                (f"{alert.state:<8}", STATE_STYLES[alert.state]),
                f"{alert.time}  {alert.unit}  {alert.severity:<8} "
                f"score {alert.score:5.2f}  peak {alert.peak_score:5.2f}  ",
                (why, "dim"),
            ),
            soft_wrap=True,
        )

    def state(self, state: StreamState) -> None:
        """Show how far the stream is, in place of what was shown before."""
        total = "" if state.n_total is None else f" of {state.n_total:,}"
        line = Text(
            f"readings sent {state.n_sent:,}{total}, scored {state.n_read:,}  "
            f"{state.readings_per_s:,.0f}/s  lag {state.lag:,.0f}  "
            f"incidents open {state.n_open}"
        )
        if self._console.is_terminal:
            self._live.update(line)
        elif time.monotonic() - self._plain_s >= PLAIN_INTERVAL_S:
            self._plain_s = time.monotonic()
            self._console.print(line, soft_wrap=True)


def print_summary(
    console: Console,
    comparison: Comparison,
    alert_of: Mapping[Span, Alert],
    promised_per_day: float,
    unit_days: float,
) -> None:
    """Print each labelled event with what became of it, then what it comes to.

    Args:
        console: where to.
        comparison: labelled events against the incidents that arrived.
        alert_of: of each incident, the alert that opened it.
        promised_per_day: false alarms per unit and day that the detector expects.
        unit_days: length of what is not labelled, summed over units.
    """
    table = Table(title="labelled events and what became of them", title_justify="left")
    for heading in ("from", "to", "", "after", "sensors named"):
        table.add_column(heading)
    for match in comparison.matches:
        sensors = alert_of[match.incident].sensors if match.incident else []
        table.add_row(
            _to_the_minute(match.event.begin_s),
            _to_the_minute(match.event.end_s),
            Text("found", "green") if match.found else Text("missed", "bold red"),
            "" if match.delay_s is None else duration_text(match.delay_s),
            ", ".join(s.name for s in sensors[:N_SENSORS_SHOWN]),
        )
    console.print(table)
    verdict, *rest = summary_lines(comparison, promised_per_day, unit_days)
    console.print(Text(verdict, "bold"), soft_wrap=True)
    for line in rest:
        console.print(line, soft_wrap=True)


def _to_the_minute(time_s: float) -> str:
    return iso_time(time_s)[:16].replace("T", " ")
