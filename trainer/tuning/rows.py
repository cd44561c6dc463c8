"""What is known of a trial, for whoever shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.tuning.space import Choice


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial."""

    number: int
    choice: Choice
    state: Literal["complete", "pruned", "failed", "stopped", "running"]
    value: float | None
    """The criterion; None unless complete."""
    rung: float | None
    """The criterion after the short training."""
    parts: dict[str, float]
    """See `Criterion`."""
    seconds: float | None
    reason: str
    """Why it failed."""

    @property
    def best_known(self) -> float | None:
        """The criterion, or what it was after the short training."""
        return self.rung if self.value is None else self.value


def best_of(rows: Sequence[TrialRow]) -> TrialRow | None:
    """The trial with the highest criterion, the first of equals; None if none has one."""
    complete = [row for row in rows if row.value is not None]
    return max(complete, key=lambda row: row.value or 0.0, default=None)


def ranked(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """The best first, then those that were pruned, then the rest."""
    order = ("complete", "pruned", "running", "failed", "stopped")

    def key(row: TrialRow) -> tuple[int, float, int]:
        return order.index(row.state), -(row.best_known or 0.0), row.number

    return sorted(rows, key=key)
