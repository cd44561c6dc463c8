"""`trainer tune` from a history to the settings that suit it."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from optuna import Trial

from pipeline.configure import parse_assignments, read_settings, unknown_variables
from pipeline.errors import InputError, PipelineError
from pipeline.files import check_writable, written_whole
from trainer.fit_file import check_model
from trainer.read_history import read_history
from trainer.settings import TrainerSettings
from trainer.train import FAMILIES_OF, check_score
from trainer.tuning.jobs import Jobs, is_orphan
from trainer.tuning.objective import By, Objective, choose_judged
from trainer.tuning.page import render
from trainer.tuning.rows import best_of
from trainer.tuning.show import SearchView
from trainer.tuning.space import Space, space_of
from trainer.tuning.study import StudyFile
from trainer.tuning.summary import Summary

TEST_SHARE = 0.2
"""End of each unit that is not looked at, unless another share is set."""
MACHINE = ("device", "threads")
"""Settings that say where to compute, not what."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for."""

    history: Path
    study: Path
    n_trials: int
    n_jobs: int
    timeout_s: float | None
    by: str | None
    model: str | None
    overrides: Mapping[str, object]
    assignments: tuple[str, ...]
    env_file: Path | None
    page: Path | None
    helps: int | None
    """The process that this one helps; it shows and writes nothing of its own."""

    def arguments(self, helps: int) -> list[str]:
        """The command line of a process that helps the one of this id."""
        options: dict[str, object] = {
            "helps": helps,
            "trials": self.n_trials,
            "study": self.study,
            "timeout-s": self.timeout_s,
            "by": self.by,
            "model": self.model,
            "env-file": self.env_file,
            **{name.replace("_", "-"): value for name, value in self.overrides.items()},
        }
        given = [f"--{name}={v}" for name, v in options.items() if v is not None]
        given += [f"--set={assignment}" for assignment in self.assignments]
        return ["tune", *given, "--", str(self.history)]


class _OutOfTimeError(Exception):
    """The search has taken as long as it may."""


class _PrunedError(Exception):
    """A trial is not worth its full training."""


def tune_file(request: Request, environment: Mapping[str, str]) -> list[str]:
    """Search, show it, write its page, and return what was found in words.

    Args:
        request: what is asked for.
        environment: of the process.

    Raises:
        InputError: any of it cannot be used. Nothing is then written.
        PipelineError: no trial ended in the time allowed, or all failed.
    """
    began_s = time.monotonic()
    settings = _settings(request, environment)
    by = _by(request.by)
    model = None if request.model is None else check_model(request.model)
    if model is not None:
        check_score(FAMILIES_OF.get(model, (model,)), settings)
    if request.page is not None:
        check_writable(request.page, [request.history, request.study], option="--page")
        if request.page.resolve() == request.study.resolve():
            raise InputError(f"--page {request.page}: it would replace the search's file")
    check_writable(request.study, [request.history], option="--study")
    history = read_history(request.history, settings)
    judged = choose_judged(history, settings, by)
    space = space_of(settings, model, judged.largest_window, judged.n_sensors)
    identity = _identity(history.digest(), settings, space, judged.by)
    summary = Summary(
        request.history, judged, space, settings, history.notes, request.n_trials
    )
    objective = Objective(history, settings, judged)
    stop_s = None if request.timeout_s is None else began_s + request.timeout_s
    with ExitStack() as stack:
        study = stack.enter_context(StudyFile(request.study, identity, space))
        view = SearchView(summary, is_shown=request.helps is None)
        stack.enter_context(view)
        search = _Search(study, objective, view, request, stop_s)
        try:
            search.run()
        except _OutOfTimeError:
            pass
        finally:
            view.update(study.rows())
        rows = study.rows()
    if request.helps is not None:
        return []
    best = best_of(rows)
    if best is None:
        raise PipelineError(_nothing_found([row.reason for row in rows if row.reason]))
    if request.page is not None:
        # A name may hold half a character, which UTF-8 cannot write.
        content = render(summary, rows, best).encode("utf-8", errors="replace")
        with written_whole(request.page, "the page") as file:
            file.write(content.decode("utf-8"))
    told = [] if request.page is None else [f"page written: {request.page}"]
    return [*summary.lines(rows, best), *told]


class _Search:
    """Trials one after the other, until there are as many as asked for."""

    def __init__(
        self,
        study: StudyFile,
        objective: Objective,
        view: SearchView,
        request: Request,
        stop_s: float | None,
    ) -> None:
        self._study, self._objective, self._view = study, objective, view
        self._request, self._stop_s = request, stop_s

    def run(self) -> None:
        """Make trials, alone or with further processes.

        Raises:
            _OutOfTimeError: time was up first.
        """
        request = self._request
        n_more = 0 if request.helps is not None else request.n_jobs - 1
        jobs = Jobs(n_more, request.arguments(os.getpid())) if n_more else None
        with jobs or nullcontext():
            self._make_trials()
            while jobs is not None and not jobs.wait():
                self._tick(1.0)
        for code in [] if jobs is None else jobs.ended_badly():
            text = f"warning: one of the jobs ended with exit code {code}"
            print(text, file=sys.stderr)  # noqa: T201
        # What a job that died has left.
        if jobs is not None and self._study.repair():
            self._make_trials()

    def _make_trials(self) -> None:
        while (trial := self._study.next_trial(self._request.n_trials)) is not None:
            choice = self._study.choice(trial)

            def on_rung(value: float, trial: Trial = trial) -> None:
                if self._study.rung(trial, value):
                    raise _PrunedError

            try:
                self._tick(0.0)
                criterion = self._objective(choice, self._tick, on_rung)
            except InputError as error:
                self._study.fail(trial, str(error))
            except _PrunedError:
                self._study.prune(trial)
            except BaseException:
                self._study.stop(trial)
                raise
            else:
                self._study.complete(trial, criterion)

    def _tick(self, done: float) -> None:
        self._view.update(self._study.rows(), done)
        if is_orphan(self._request.helps):
            raise KeyboardInterrupt
        if self._stop_s is not None and time.monotonic() >= self._stop_s:
            raise _OutOfTimeError


def _settings(request: Request, environment: Mapping[str, str]) -> TrainerSettings:
    given = {**request.overrides, **parse_assignments(list(request.assignments))}
    settings = read_settings(TrainerSettings, given, request.env_file)
    if "test_share" not in settings.model_fields_set:
        given["test_share"] = TEST_SHARE
        settings = read_settings(TrainerSettings, given, request.env_file)
    if request.helps is None:
        for line in unknown_variables(TrainerSettings, environment, request.env_file):
            print(f"warning: {line}", file=sys.stderr)  # noqa: T201
    return settings


def _by(text: str | None) -> By | None:
    for known in get_args(By):
        if text == known:
            return known  # type: ignore[no-any-return]
    if text is not None:
        raise InputError(f"--by {text}: expected one of {', '.join(get_args(By))}")
    return None


def _identity(
    digest: str, settings: TrainerSettings, space: Space, by: By
) -> dict[str, object]:
    """What trials can be compared by: as JSON holds it."""
    values = settings.model_dump(mode="json", exclude=set(MACHINE))
    return {
        "history": digest,
        "families": list(space.families),
        "windows": list(space.windows),
        "searched": list(space.searched),
        "by": by,
        **values,
    }


def _nothing_found(reasons: list[str]) -> str:
    if reasons:
        return f"no trial could be fitted; the first: {reasons[0]}"
    return "time was up before the first trial ended; give the same command to go on"
