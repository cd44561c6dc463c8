"""What `trainer fit` shows while it works, and what it has learned once it is done."""

import math
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.detector.manifest_parts import ScalerPart
from pipeline.detector.residual import ResidualScoring
from pipeline.pages.template import number_text
from trainer.calibrate import MIN_EXPECTED
from trainer.history import listed
from trainer.split import BEYOND, UNIT_TOO_SHORT
from trainer.train import Trained


class FitProgress:
    """A progress bar with loss and time left, on standard error. A context manager."""

    def __init__(self, model: str) -> None:
        self._progress = Progress(
            TextColumn(f"training {model}"),
            # Wide enough to see, and the times still fit in 80 columns.
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(model, total=1.0, loss="-")

    def __enter__(self) -> "FitProgress":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the bar as it is, for other lines to follow."""
        if self._progress.live.is_started:
            self._progress.stop()

    def update(self, done: float, loss: float) -> None:
        """Show that this share of the training is done, 0 to 1, and the last loss.

        The first call draws the bar: input that is refused before leaves one line alone.
        """
        self._progress.start()
        self._progress.update(self._task, completed=done, loss=f"{loss:.4f}")


def show_trained(trained: Trained, out: Path) -> None:
    """Print what was learned: rows, threshold, false alarms to expect, time, size."""
    manifest, calibration = trained.loaded.manifest, trained.calibration
    training = manifest.training
    n_bytes = sum(file.stat().st_size for file in out.iterdir())
    n_used = training.n_rows - sum(trained.folds.n_left_out.values())
    windows = ", ".join(f"{n:,} {part}" for part, n in training.n_windows.items())
    facts = {
        "detector": f"{out} ({n_bytes / 1e6:.1f} MB, {manifest.model})",
        "digest": trained.loaded.digest,
        "history": f"{training.first_time} to {training.last_time}",
        "rows used": f"{n_used:,} of {training.n_rows:,}, {training.n_units:,} units, "
        f"{len(manifest.sensors)} sensors",
        "windows": f"{windows}; {manifest.window} readings each",
        "scaling": _scaling(manifest.scaler),
        "training": f"{training.n_steps} steps, {trained.fit_seconds:.1f} s; networks "
        f"explain {training.explained:.0%} of what they had not seen",
        "threshold": f"{calibration.threshold:.6g} times the limit of normal readings "
        f"({calibration.method})",
        "false alarms": _promise(trained),
    }
    if context := _context(trained.loaded):
        facts["context"] = f"{listed(context)} (flags: seen by the networks, not scored)"
    if constant := _constant(trained.loaded.detector):
        facts["constant"] = f"{listed(constant)} (never moved in training)"
    lines = [*facts.items(), *(("left out", line) for line in training.left_out)]
    for name, value in lines:
        print(f"{name:<14}{value}")  # noqa: T201 - a command line prints


def _scaling(part: ScalerPart) -> str:
    said = f"their own would foretell readings by {part.gain:+.2f} nats a value"
    if part.kind == "per unit":
        return f"each unit its own; {said}"
    return f"one for all units; {said}" if part.gain else "one for all units"


def _context(loaded: LoadedDetector) -> list[str]:
    """The sensors that scores are not made of."""
    scoring, sensors = loaded.detector.scoring, loaded.detector.sensors
    if not isinstance(scoring, ResidualScoring):
        return []
    scored_F = scoring.is_scored_F.tolist()
    return [s for s, is_scored in zip(sensors, scored_F, strict=True) if not is_scored]


def _constant(detector: Detector) -> list[str]:
    """The sensors that never moved in training: their scale is a guess."""
    is_constant_F = detector.scaling.pooled.is_constant_F.tolist()
    return [s for s, stood in zip(detector.sensors, is_constant_F, strict=True) if stood]


def _enough_readings(trained: Trained, asked: float) -> int:
    """How many to read of a history, for the rate to be shown if all of it can show it."""
    n_left_out = trained.folds.n_left_out
    n_usable = trained.loaded.manifest.training.n_rows - n_left_out.get(UNIT_TOO_SHORT, 0)
    n_read = n_usable - n_left_out[BEYOND]
    n_times = MIN_EXPECTED / asked / trained.calibration.unit_days
    return math.ceil(min(n_usable, n_read * n_times))


def _promise(trained: Trained) -> str:
    calibration = trained.calibration
    asked = trained.loaded.manifest.threshold.asked_false_alarms_per_unit_day
    if not calibration.unit_days:
        return "unknown: the readings' times do not advance"
    text = (
        f"expected {calibration.expected_per_day:.3g} per unit and day, at most "
        f"{calibration.at_most_per_day:.3g} (95 %); {calibration.n_false_alarms} in "
        f"{calibration.unit_days:.3g} unit-days of calibration, asked {asked:g}"
    )
    if calibration.limited_by == "history":
        n_needed = number_text(MIN_EXPECTED / asked)
        text += (
            "; the history is too short to show the rate asked for, which takes up to "
            f"{n_needed} unit-days"
        )
    if calibration.limited_by == "max_readings":
        text += (
            "; TRAINER_MAX_READINGS left out rows that may show the rate asked for, which "
            f"takes up to {number_text(MIN_EXPECTED / asked)} unit-days: raise it, for "
            f"example by --set max_readings={_enough_readings(trained, asked)}"
        )
    if calibration.limited_by == "scores":
        text += (
            "; the rate asked for is more than these scores can make before incidents melt "
            "into one"
        )
    return text
