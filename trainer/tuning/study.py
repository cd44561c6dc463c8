"""The search as a file: what was tried, what came of it, what is next.

A journal of JSON lines that several processes write to. Nothing is pickled.
"""

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import InputError
from trainer.tuning.criterion import Criterion
from trainer.tuning.journal import (
    check_journal,
    end_with_whole_line,
    no_search,
    storage_of,
)
from trainer.tuning.lock import StudyLock
from trainer.tuning.rows import TrialRow
from trainer.tuning.space import FAMILY, LATENT, RATE, WINDOW, Choice, Space

NAME = "tune"
IDENTITY, PARTS, REASON = "search", "parts", "reason"
"""Attributes; a trial that failed has a reason, one that was stopped has none."""
N_RANDOM = 10
"""Trials at random before others make use of what came of them."""
N_UNPRUNED = 5
"""Trials that are trained to the end whatever they look like."""
State: TypeAlias = Literal["complete", "pruned", "failed", "stopped", "running"]


class StudyFile:
    """One search. A context manager; several processes may have it open.

    Owns the journal, and the lock file beside it.
    """

    def __init__(self, path: Path, identity: Mapping[str, object], space: Space) -> None:
        """Open a search, or begin one.

        Args:
            path: of the journal; created if it is not there.
            identity: what a search depends on, as JSON holds it.
            space: what to search.

        Raises:
            InputError: the file is no search, or one of another history or of other
                settings.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._path = space, path
        self._seed = int(str(identity["seed"]))
        self._lock = StudyLock(path)
        try:
            with self._lock.turn() as is_alone:
                self._study = self._opened(identity, is_alone)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "StudyFile":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lock.close()

    def next_trial(self, n_trials: int) -> optuna.Trial | None:
        """Begin a trial, unless as many have been or are being made. None then."""
        with self._lock.turn():
            n_begun = sum(_counts(trial) for trial in self._trials())
            if n_begun >= n_trials:
                return None
            # By their number, not by one stream of random numbers: a search that was
            # stopped goes on as if it had not been.
            with _no_warnings():
                self._study.sampler = optuna.samplers.TPESampler(
                    seed=(self._seed * 1_000_003 + n_begun) % 2**32,
                    n_startup_trials=N_RANDOM,
                    multivariate=True,
                    constant_liar=True,
                )
                return self._study.ask(_distributions(self._space))

    def choice(self, trial: optuna.Trial) -> Choice:
        """The settings of a trial."""
        return self._space.choice(trial.params)

    def rung(self, trial: optuna.Trial, value: float) -> bool:
        """Report what a short training came to. Whether the trial is to end with it."""
        trial.report(value, step=0)
        return trial.should_prune()

    def complete(self, trial: optuna.Trial, criterion: Criterion) -> None:
        """A trial has ended well."""
        trial.set_user_attr(PARTS, criterion.parts)
        self._study.tell(trial, criterion.value)

    def prune(self, trial: optuna.Trial) -> None:
        """A trial ended after its short training."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: optuna.Trial, reason: str) -> None:
        """A trial's settings could not be fitted."""
        trial.set_user_attr(REASON, reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def stop(self, trial: optuna.Trial) -> None:
        """A trial was stopped on the way: it is made again when the search goes on."""
        with self._lock.turn():
            self._study.tell(trial, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    def repair(self) -> bool:
        """Have the trials of processes that died made again. Whether there are any."""
        with self._lock.turn() as is_alone:
            return is_alone and _mark_stopped(self._study)

    def rows(self) -> list[TrialRow]:
        """What is known of each trial that was begun, in their order."""
        begun = [t for t in self._trials() if t.state != TrialState.WAITING]
        return [self._row(trial) for trial in begun]

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _row(self, trial: FrozenTrial) -> TrialRow:
        state: State = "running"
        if trial.state == TrialState.COMPLETE:
            state = "complete"
        elif trial.state == TrialState.PRUNED:
            state = "pruned"
        elif trial.state == TrialState.FAIL:
            state = "failed" if REASON in trial.user_attrs else "stopped"
        seconds = trial.duration.total_seconds() if trial.duration else None
        return TrialRow(
            number=trial.number,
            choice=self._space.choice(trial.params),
            state=state,
            value=trial.value if state == "complete" else None,
            rung=trial.intermediate_values.get(0),
            parts=dict(trial.user_attrs.get(PARTS, {})),
            seconds=seconds,
            reason=str(trial.user_attrs.get(REASON, "")),
        )

    def _opened(self, identity: Mapping[str, object], is_alone: bool) -> optuna.Study:
        is_new = not self._path.exists() or self._path.stat().st_size == 0
        try:
            if not is_new:
                check_journal(self._path)
            if is_alone and not is_new:
                end_with_whole_line(self._path)
            storage = storage_of(self._path, self._lock)
            study = _loaded(storage)
            known = dict(study.user_attrs.get(IDENTITY, {}))
        except InputError:
            raise
        except OSError as error:
            raise InputError(
                f"--study {self._path}: cannot be read or written: {error.strerror}"
            ) from error
        except Exception as error:
            # Whatever a file that is no journal makes of Optuna.
            raise no_search(self._path) from error
        if not known:
            study.set_user_attr(IDENTITY, dict(identity))
            study.enqueue_trial(self._space.default_parameters())
        elif known != identity:
            raise InputError(_stranger(self._path, known, identity))
        if is_alone:
            _mark_stopped(study)
        return study


def _loaded(storage: JournalStorage) -> optuna.Study:
    """The study of a journal; to look at one writes nothing."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=N_UNPRUNED)
    try:
        return optuna.load_study(study_name=NAME, storage=storage, pruner=pruner)
    except KeyError:
        return optuna.create_study(
            study_name=NAME, storage=storage, direction="maximize", pruner=pruner
        )


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts among those asked for."""
    if trial.state == TrialState.FAIL:
        return REASON in trial.user_attrs
    return trial.state != TrialState.WAITING


def _mark_stopped(study: optuna.Study) -> bool:
    """Trials of processes that are gone, where no other has the study open."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return bool(running)


def _stranger(path: Path, known: Mapping[str, Any], identity: Mapping[str, object]) -> str:
    names = sorted(known.keys() | identity.keys())
    differ = [name for name in names if known.get(name) != identity.get(name)]
    if "history" in differ:
        what = "another history"
    else:
        what = "other settings (" + ", ".join(
            f"{name} {known.get(name)}, now {identity.get(name)}" for name in differ
        )
        what += ")"
    return f"--study {path}: it is a search of {what}; give another file"


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    low, high = space.latent_factors or (1.0, 1.0)
    whole: dict[str, BaseDistribution] = {
        FAMILY: CategoricalDistribution(space.families),
        WINDOW: IntDistribution(*space.windows, log=True),
        LATENT: FloatDistribution(low, high, log=True),
        RATE: FloatDistribution(*space.rates, log=True),
    }
    return {name: whole[name] for name in space.searched}


def _no_warnings() -> AbstractContextManager[object]:
    """Optuna calls options experimental that it has had for years."""
    return warnings.catch_warnings(
        action="ignore", category=optuna.exceptions.ExperimentalWarning
    )
