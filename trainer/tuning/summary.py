"""What a search was and what it found, in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.history import shortened
from trainer.settings import TrainerSettings
from trainer.tuning.objective import Judged
from trainer.tuning.probes import PROBED, SIZES
from trainer.tuning.rows import TrialRow
from trainer.tuning.space import LATENT, RATE, WINDOW, Space, fit_command

NAMES = {
    "family": "family",
    "window": "window",
    "latent": "latent size",
    "learning_rate": "learning rate",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """A search as its table and its page speak of it."""

    history: Path
    judged: Judged
    space: Space
    settings: TrainerSettings
    notes: Sequence[str]
    """What was left out of the history."""
    n_trials: int
    """That were asked for."""

    @property
    def criterion(self) -> str:
        """What trials are ranked by, in a few words."""
        if self.judged.by == "labels":
            return "average precision on labelled rows"
        return "average precision on injected faults"

    def explanation(self) -> str:
        """What it is, for somebody who has never heard of it."""
        held_out = (
            "Each trial is fitted and judged as trainer fit would: each network on "
            "readings that it was not trained on."
        )
        if self.judged.probes is None:
            return (
                f"{held_out} The criterion is the average precision of its scores on the "
                "rows labelled as anomalous among them: 1 if all of these have higher "
                "scores than all others, about the share of labelled rows if scores say "
                "nothing; of several units, their mean."
            )
        kinds = ", ".join(PROBED[:-1])
        return (
            f"{held_out} No labels are used. Into {len(self.judged.probes.probes)} "
            f"stretches of these readings a fault is put ({kinds} or {PROBED[-1]}), of one "
            f"sensor, {SIZES[0]:g} to {SIZES[1]:g} of its standard deviations in size: the "
            "same ones for each trial. The criterion is the average precision of the "
            "scores: 1 if all faulty readings have higher scores than those before their "
            "faults. It is taken for each kind of fault, and their mean counts. Small "
            "faults and single spikes are hard to find, so that values far below 1 are "
            "usual: what counts is the difference between trials."
        )

    def test_part(self) -> str:
        """What was not looked at."""
        share = self.settings.test_share
        if not share:
            return "No test part: all of the history was used, as asked."
        return (
            f"The last {100 * share:.3g} % of each unit's rows, the test part, was not "
            "looked at: neither its readings nor its labels."
        )

    def command(self, best: TrialRow) -> str:
        """The command line that fits the same detector."""
        stem = self.history.stem
        return fit_command(
            str(self.history),
            f"{stem}-tuned",
            best.choice,
            self.settings.seed,
            self._others(),
        )

    def lines(self, rows: Sequence[TrialRow], best: TrialRow) -> list[str]:
        """What is printed in the end."""
        count = {state: sum(row.state == state for row in rows) for state in STATES}
        states = ", ".join(f"{n} {STATES[state]}" for state, n in count.items() if n)
        return [
            f"{states}; ranked by {self.criterion}",
            f"best: trial {best.number}, {best.value:.4f}{self.against_default(rows)}",
            *shortened(self.notes),
            "the same detector again:",
            f"  {self.command(best)}",
        ]

    def against_default(self, rows: Sequence[TrialRow]) -> str:
        """How the default did, to be put behind a value; empty if it did not end."""
        default = self.default_value(rows)
        return "" if default is None else f" (default settings {default:.4f})"

    def default_value(self, rows: Sequence[TrialRow]) -> float | None:
        """The criterion of the default settings."""
        values = [row.value for row in rows if row.choice == self.space.default]
        return next((value for value in values if value is not None), None)

    def _others(self) -> dict[str, object]:
        settings = self.settings
        given = settings.model_fields_set - {WINDOW, LATENT, RATE, "seed", "test_share"}
        others: dict[str, object] = {
            name: value
            for name in sorted(given)
            if (value := getattr(settings, name)) is not None
        }
        if settings.test_share:
            others["test_share"] = settings.test_share
        return others


STATES = {
    "complete": "done",
    "pruned": "pruned",
    "running": "running",
    "failed": "failed",
    "stopped": "stopped",
}
