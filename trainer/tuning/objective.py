"""One trial: fit on what is trained on, judge on what is held out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch

from pipeline.errors import InputError
from pipeline.records import IntArray
from pipeline.score import choose_device
from trainer.distributed import ALONE
from trainer.fit_families import fit_families, steps_of_family
from trainer.history import History
from trainer.prepare import Prepared, prepare
from trainer.settings import TrainerSettings
from trainer.split import Folds, split
from trainer.train import FAMILIES_OF, scored
from trainer.tuning.criterion import Criterion, HeldOutJudge, by_faults, by_labels
from trainer.tuning.probes import (
    MIN_JUDGED,
    N_JUDGED,
    N_LEAD,
    Probes,
    choose_probes,
    runs_of_rows,
)
from trainer.tuning.space import WINDOW, WINDOWS, Choice

By: TypeAlias = Literal["faults", "labels"]
FIRST_RUNG = 1 / 8
"""Of the steps: so long is each trial trained at first, by itself, to see whether it is
worth all of them."""
LARGEST_WINDOWS = (WINDOWS[1], 96, 64, 48, 32, 24, 16)


@dataclass(frozen=True, slots=True)
class Judged:
    """What all trials of a search are judged on."""

    by: By
    largest_window: int
    """No trial has a larger one, and none is judged on rows that one of it cannot score."""
    n_sensors: int
    """That the networks see."""
    probes: Probes | None
    """With `faults`."""
    runs: IntArray
    """Unit, first and last row (not included) of what labels are judged on, (n, 3)."""


def choose_judged(history: History, settings: TrainerSettings, by: By | None) -> Judged:
    """Choose the rows that trials are judged on.

    Args:
        history: without its test part.
        settings: of the user; a window that was set is the only one.
        by: None: labels if held-out rows have any, else faults.

    Raises:
        InputError: the history is too short, or no held-out row is labelled where labels
            are asked for.
    """
    prepared = prepare(history, settings)
    is_fixed = WINDOW in settings.model_fields_set
    window = settings.window if is_fixed else _largest(history, settings)
    folds = prepared.folds if window == settings.window else _cut(history, settings, window)
    n_sensors = len(prepared.history.sensors)
    labelled = _labelled_runs(history, folds, window)
    has_labels = any(history.label_N[a:b].any() for _, a, b in labelled.tolist())
    if by == "labels" and not has_labels:
        raise InputError(
            "--by labels: no row that is judged on is labelled as anomalous (column "
            "'label'); leave it out to search without labels"
        )
    if by == "labels" or (by is None and has_labels):
        return Judged("labels", window, n_sensors, None, labelled)
    runs = runs_of_rows(folds, window - 1)
    if int((runs[:, 2] - runs[:, 1]).max(initial=0)) < MIN_JUDGED:
        raise InputError(
            f"the history is too short to judge on: with windows of {window} no held-out "
            f"stretch has {MIN_JUDGED} scores in a row. Give more history, or a smaller "
            "--window"
        )
    probes = choose_probes(prepared.history, runs, prepared.is_scored_F, settings.seed)
    if not any(probe.size for probe in probes.probes):
        raise InputError(
            "no sensor that scores are made of moves, so there is no size for a fault to "
            "have; give a history in which one does, or one with labels"
        )
    return Judged("faults", window, n_sensors, probes, labelled)


class Objective:
    """Fits and judges choices. Owns the history and what is judged on."""

    def __init__(self, history: History, settings: TrainerSettings, judged: Judged) -> None:
        """Take what all trials have in common."""
        self._history, self._settings, self._judged = history, settings, judged
        self._device = choose_device(settings.device)

    def __call__(
        self,
        choice: Choice,
        on_progress: Callable[[float], None],
        on_rung: Callable[[float], None],
    ) -> Criterion:
        """Fit with a choice of settings and judge what came of it.

        Args:
            choice: what to try.
            on_progress: told the share that is done, 0 to 1; what it raises ends the trial.
            on_rung: told the criterion after a short training; what it raises likewise.

        Raises:
            InputError: it cannot be fitted: see `fit_network` and `prepare`.
        """
        settings = choice.applied(self._settings)
        prepared = prepare(self._history, settings)
        n_steps = steps_of_family(prepared.folds, settings)
        n_short = max(math.ceil(FIRST_RUNG * n_steps), 1)
        whole = n_short + n_steps
        short = settings.model_copy(update={"steps": n_short})

        def first(done: float, loss: float) -> None:
            on_progress(done * n_short / whole)

        def second(done: float, loss: float) -> None:
            on_progress((n_short + done * n_steps) / whole)

        on_rung(self._criterion(choice, short, prepared, first).value)
        return self._criterion(choice, settings, prepared, second)

    def _criterion(
        self,
        choice: Choice,
        settings: TrainerSettings,
        prepared: Prepared,
        on_progress: Callable[[float, float], None],
    ) -> Criterion:
        torch.set_num_threads(settings.threads)
        families = FAMILIES_OF.get(choice.family, (choice.family,))
        networks, _ = fit_families(
            families, prepared.folds, settings, self._device, on_progress, ALONE
        )
        scoring, _, _ = scored(networks, prepared, settings, self._device)
        judge = HeldOutJudge(networks, scoring, prepared, self._device)
        return judged_by(judge, self._judged)


def judged_by(judge: HeldOutJudge, judged: Judged) -> Criterion:
    """The criterion of fitted networks."""
    if judged.probes is not None:
        return by_faults(judge, judged.probes)
    return by_labels(judge, judged.runs)


def _largest(history: History, settings: TrainerSettings) -> int:
    """The largest window to try: most held-out rows must still have a score with it."""
    for window in LARGEST_WINDOWS:
        if window <= settings.window:
            break
        try:
            runs = runs_of_rows(_cut(history, settings, window), window - 1)
        except InputError:
            continue
        if int((runs[:, 2] - runs[:, 1]).max(initial=0)) >= N_LEAD + N_JUDGED:
            return window
    return settings.window


def _cut(history: History, settings: TrainerSettings, window: int) -> Folds:
    return split(
        history, window, settings.stride, settings.folds, settings.calibration_fraction
    )


def _labelled_runs(history: History, folds: Folds, window: int) -> IntArray:
    """Unit, first and last row (not included) of what is held out, labelled or not."""
    spans_S2 = np.concatenate([fold.span_S2 for fold in folds.folds])
    unit_S = np.searchsorted(history.begin_U, spans_S2[:, 0], side="right") - 1
    begin_S = spans_S2[:, 0] + window - 1
    runs = np.column_stack([unit_S, begin_S, spans_S2[:, 1]])
    return np.asarray(runs[runs[:, 2] > runs[:, 1]])
