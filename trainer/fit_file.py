"""`fit`: from a history file to a detector's folder, and what is shown of it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pipeline.configure import parse_assignments, read_settings, unknown_variables
from pipeline.detector.artifact import check_writable
from pipeline.detector.detector import Detector
from pipeline.detector.families import FAMILIES
from pipeline.errors import InputError
from pipeline.steps import calibrated_rule
from pipeline.trigger import IncidentRule
from trainer.distributed import Ranks
from trainer.history import History
from trainer.labels.apply import labelled_history
from trainer.labels.before import detector_before
from trainer.labels.preview import Judge, preview
from trainer.progress import FitProgress, show_trained
from trainer.read_history import read_history
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, help_train, train


class LabelOptions(NamedTuple):
    """What the command line says of labels."""

    labels: str
    """See `labelled_history`."""
    alerts: str | None
    is_preview: bool
    """Whether to write no detector."""


def fit_file(
    history: Path,
    out: Path,
    model: str | None,
    overrides: Mapping[str, object],
    assignments: Sequence[str],
    env_file: Path | None,
    environment: Mapping[str, str],
    ranks: Ranks,
    asked: LabelOptions | None = None,
) -> None:
    """Read settings and history, fit a detector, write its folder and show what came of it.

    Of several processes the first writes and shows.

    Args:
        history: CSV or Parquet.
        out: the folder.
        model: as `train` takes it; None for the default.
        overrides: settings from the command line.
        assignments: further ones, as NAME=VALUE; these are the stronger.
        env_file: with further settings.
        environment: of the process.
        ranks: the processes that fit it together.
        asked: labels to learn from.

    Raises:
        InputError: any of it cannot be used. In all processes at once.
    """
    with ranks.agreed() as given:
        overrides = {**overrides, **parse_assignments(list(assignments))}
        settings = read_settings(TrainerSettings, overrides, env_file)
        model = _model(model, settings)
        if ranks.is_first:
            for line in unknown_variables(TrainerSettings, environment, env_file):
                print(f"warning: {line}", file=sys.stderr)  # noqa: T201
            check_writable(out)
        readings = read_history(history, settings)
        if asked is not None:
            readings = labelled_history(
                readings, asked.labels, asked.alerts, settings.recovery, env_file
            )
        if not ranks.is_alone:
            given |= _given(readings, model, settings)
    if not ranks.is_first:
        help_train(readings, model, settings, ranks)
        return
    if asked is not None:
        _fit_labelled(readings, model, settings, out, asked, ranks)
        return
    with FitProgress(model) as progress:
        trained = train(readings, model, settings, out, progress.update, ranks)
    show_trained(trained, out)


def _fit_labelled(
    readings: History,
    model: str,
    settings: TrainerSettings,
    out: Path,
    asked: LabelOptions,
    ranks: Ranks,
) -> None:
    """Fit, say what labels change, and then write the folder, unless that is all."""
    before = None
    # The others do not help with a second detector.
    if ranks.is_alone:

        def fit(history: History, folder: Path) -> Judge:
            with FitProgress(f"{model}, without labels") as progress:
                trained = train(history, model, settings, folder, progress.update)
            return Judge(trained.loaded.detector, calibrated_rule(trained.loaded))

        before = detector_before(out, readings, fit)

    def tell(detector: Detector, rule: IncidentRule) -> None:
        progress.stop()
        if before is not None:
            seen = preview(readings, before.judge, Judge(detector, rule))
            print(f"{'labels':<14}{seen.line(before.name)}", flush=True)  # noqa: T201

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / out.resolve().name if asked.is_preview else out
        with FitProgress(model) as progress:
            trained = train(readings, model, settings, folder, progress.update, ranks, tell)
    if asked.is_preview:
        print(f"{'detector':<14}{out} was not written (--preview)")  # noqa: T201
    else:
        show_trained(trained, out)


def _given(readings: History, model: str, settings: TrainerSettings) -> dict[str, str]:
    """What all processes must have the same of. A history by its digest."""
    prefix = TrainerSettings.model_config["env_prefix"]
    values = settings.model_dump(mode="json")
    named = {f"{prefix}{name.upper()}": str(value) for name, value in values.items()}
    return {"the history": readings.digest(), "--model": model, **named}


def _model(name: str | None, settings: TrainerSettings) -> str:
    if name is None:
        # What measured best; scores of whole windows are made by a VAE.
        return ENSEMBLE if settings.score == "residual" else "vae"
    return check_model(name)


def check_model(name: str) -> str:
    """The same name, of a model that there is.

    Raises:
        InputError: there is none of that name.
    """
    names = [ENSEMBLE, *FAMILIES]
    if name not in names:
        raise InputError(f"--model {name}: expected one of {', '.join(names)}")
    return name
