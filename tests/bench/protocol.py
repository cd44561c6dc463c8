"""What a benchmark is: sides measured in turn, and lines that set one against the other."""

import importlib.util
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


class Unavailable(Exception):
    """A benchmark cannot run here. Its text is one line that says what is missing."""


def need(package: str) -> None:
    """Say what to install if `package` is not there.

    Raises:
        Unavailable: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise Unavailable(
            f"{package} is not installed: "
            "uv run --no-dev --group bench python -m tests.bench"
        )


@dataclass(frozen=True, slots=True)
class Goal:
    """What a line must reach."""

    of: Literal["ratio", "ours"]
    sign: Literal[">=", "<="]
    value: float

    def is_met(self, line: "Line") -> bool:
        """Whether the line's medians reach it."""
        reached = line.ratio if self.of == "ratio" else line.our_median
        return reached >= self.value if self.sign == ">=" else reached <= self.value

    def __str__(self) -> str:
        return f"{'' if self.of == 'ratio' else 'ours '}{self.sign} {self.value:,g}"


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison: what ours reached, what the other side did in the same minutes."""

    name: str
    unit: str
    """Of the figures on both sides, for example `readings/s`."""
    ours: Sequence[float]
    """One figure a repetition."""
    theirs: Sequence[float]
    """The figure of the other side in the same repetition."""
    against: str
    """What the other side is."""
    goals: Sequence[Goal] = ()
    """Any one of them is enough; none where the line is there to compare with."""
    detail: Mapping[str, float] = field(default_factory=dict)
    """What explains the figure, for example each step's share of the time."""

    @property
    def our_median(self) -> float:
        """In `unit`."""
        return statistics.median(self.ours)

    @property
    def their_median(self) -> float:
        """In `unit`."""
        return statistics.median(self.theirs)

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, of each repetition."""
        return [o / t for o, t in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of `ratios`: what slows a machine down for a while hits both sides of
        a repetition."""
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool | None:
        """None without a goal."""
        return any(goal.is_met(self) for goal in self.goals) if self.goals else None

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        goals = [str(goal) for goal in self.goals]
        medians = {
            "ratio": self.ratio,
            "ratios": self.ratios,
            "our_median": self.our_median,
            "their_median": self.their_median,
            "n_repetitions": len(self.ours),
            "is_met": self.is_met,
        }
        return {**asdict(self), "goals": goals, **medians}


def in_turn(n_repeats: int, *sides: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Measure the sides one after the other, A B A B ..., so that noise hits both.

    Returns:
        Each side's figures, in the order of `sides`.
    """
    figures = [[side() for side in sides] for _ in range(n_repeats)]
    return tuple(zip(*figures, strict=True))
