"""A search while it goes on: a table that lives on a terminal, else a line a trial."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.plain_text import plain
from trainer.tuning.rows import TrialRow, best_of, ranked
from trainer.tuning.space import SEARCHED
from trainer.tuning.summary import NAMES, STATES, Summary

REFRESH_S = 0.25
MARGIN_LINES = 6
MAX_ROWS = 25


class SearchView:
    """Shows trials on standard output. A context manager.

    Owns what was shown already.
    """

    def __init__(self, summary: Summary, is_shown: bool = True) -> None:
        self._summary, self._is_shown = summary, is_shown
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._told: set[int] = set()
        self._shown_s = -REFRESH_S
        if is_shown and self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> "SearchView":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._live is not None and self._live.is_started:
            self._live.stop()

    def update(self, rows: Sequence[TrialRow], done: float | None = None) -> None:
        """Show how far the search is.

        Args:
            rows: all trials.
            done: of this process's trial, 0 to 1; None: now at once.
        """
        if not self._is_shown:
            return
        if self._live is None:
            self._tell(rows)
            return
        if done is not None and time.monotonic() - self._shown_s < REFRESH_S:
            return
        self._shown_s = time.monotonic()
        # Input that is refused before the first trial leaves one line alone.
        if not self._live.is_started:
            self._live.start()
        n_rows = min(max(self._console.height - MARGIN_LINES, 3), MAX_ROWS)
        self._live.update(self.table(rows, n_rows), refresh=True)

    def table(self, rows: Sequence[TrialRow], n_rows: int) -> Table:
        """The best trials first, and those that run."""
        best = best_of(rows)
        counted = sum(row.state in ("complete", "pruned", "failed") for row in rows)
        title = f"{counted} of {self._summary.n_trials} trials"
        if best is not None:
            title += f", best {best.value:.4f}{self._summary.against_default(rows)}"
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, header_style="bold"
        )
        table.add_column("trial", justify="right")
        for name in SEARCHED:
            is_number = name != "family"
            table.add_column(NAMES[name], justify="right" if is_number else "left")
        for heading in ("criterion", "", "time"):
            table.add_column(heading, justify="left" if not heading else "right")
        running = [row for row in rows if row.state == "running"]
        others = [row for row in ranked(rows) if row.state not in ("running", "stopped")]
        shown = [*others[: max(n_rows - len(running), 1)], *running]
        for row in shown:
            style = "bold green" if row is best else None
            if row.state in ("pruned", "failed"):
                style = "dim"
            table.add_row(
                str(row.number),
                *row.choice.text_by_name().values(),
                criterion_text(row),
                Text(state_text(row), overflow="ellipsis", no_wrap=True),
                time_text(row.seconds),
                style=style,
            )
        if len(others) + len(running) > len(shown):
            table.caption = f"and {len(others) + len(running) - len(shown)} more"
        return table

    def _tell(self, rows: Sequence[TrialRow]) -> None:
        for row in rows:
            if row.number in self._told or row.state == "running":
                continue
            self._told.add(row.number)
            settings = ", ".join(
                f"{NAMES[name]} {text}" for name, text in row.choice.text_by_name().items()
            )
            text = (
                f"trial {row.number}: {settings}: {criterion_text(row)} {state_text(row)}"
            )
            if row.seconds is not None:
                text += f", {time_text(row.seconds)}"
            self._console.print(text, markup=False, soft_wrap=True)


def criterion_text(row: TrialRow) -> str:
    """The criterion; of a pruned trial that after its short training, in brackets."""
    if row.value is not None:
        return f"{row.value:.4f}"
    return "-" if row.rung is None else f"({row.rung:.4f})"


def state_text(row: TrialRow) -> str:
    """What became of a trial."""
    text = STATES[row.state]
    return f"{text}: {plain(row.reason)}" if row.state == "failed" else text


def time_text(seconds: float | None) -> str:
    """Seconds or minutes; a dash where it is not known."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
