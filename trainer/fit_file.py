"""`fit`: from a history file to a detector's folder, and what is shown of it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.configure import parse_assignments, read_settings, unknown_variables
from pipeline.detector.artifact import check_writable
from pipeline.detector.families import FAMILIES
from pipeline.errors import InputError
from trainer.distributed import Ranks
from trainer.history import History
from trainer.progress import FitProgress, show_trained
from trainer.read_history import read_history
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, help_train, train


def fit_file(
    history: Path,
    out: Path,
    model: str | None,
    overrides: Mapping[str, object],
    assignments: Sequence[str],
    env_file: Path | None,
    environment: Mapping[str, str],
    ranks: Ranks,
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
        if not ranks.is_alone:
            given |= _given(readings, model, settings)
    if not ranks.is_first:
        help_train(readings, model, settings, ranks)
        return
    with FitProgress(model) as progress:
        trained = train(readings, model, settings, out, progress.update, ranks)
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
