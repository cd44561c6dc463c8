"""How hypothesis runs, and detectors that are trained once."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from pipeline.records import FloatArray
from tests import builders
from tests.trainer.reporting import (
    FAULT,
    HOSTILE_SENSOR,
    Evaluated,
    OnDisk,
    Page,
    Reported,
    series_with_fault,
    write_table,
)
from tests.trainer.training import Command, Ended, TrainedModel, no_one_listens
from trainer.__main__ import main
from trainer.evaluate import Evaluation
from trainer.evaluate_show import evaluate_file
from trainer.report_file import write_report
from trainer.settings import TrainerSettings
from trainer.train import Trained, train

# On a busy machine a slow example is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

# Networks this small only wait for each other on several threads.
torch.set_num_threads(1)

SMALL = TrainerSettings(
    window=8,
    steps=150,
    batch_windows=64,
    learning_rate=5e-3,
    false_alarms_per_day=5.0,
    trigger="3/5",
    recovery=10,
    device="cpu",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A detector of a model's name, trained on two units of normal readings, once."""

    @cache
    def of_model(model: str, score: str = "residual") -> Trained:
        folder: Path = tmp_path_factory.mktemp(model)
        history = builders.history(builders.sensor_series(1_500), [900, 600])
        settings = SMALL.model_copy(update={"score": score})
        return train(history, model, settings, folder / "pumps", no_one_listens)

    return of_model


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    """A tiny detector, one of whose sensors has a hostile name."""
    history = builders.history(builders.sensor_series(1_500))
    sensors = (*history.sensors[:-1], HOSTILE_SENSOR)
    folder = tmp_path_factory.mktemp("trained") / "pumps"
    trained = train(replace(history, sensors=sensors), "ae", SMALL, folder, no_one_listens)
    return OnDisk(folder, trained.loaded.digest, sensors)


@pytest.fixture
def run_trainer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `trainer ...` without the seconds that a process of its own takes."""
    for name in [name for name in os.environ if name.upper().startswith("TRAINER_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(ended.value.code, out, err)

    return run


@pytest.fixture
def reported(detector: OnDisk, tmp_path: Path) -> Reported:
    """Reports on a table and reads the page; the table has one fault, labelled."""

    def report(
        values_by_unit: dict[str, FloatArray] | None = None,
        labelled: Sequence[int] | None = FAULT,
        alerts: Sequence[str] | None = None,
        times_s: Sequence[float] | None = None,
    ) -> Page:
        values_by_unit = values_by_unit or {"pump-7": series_with_fault()}
        path = tmp_path / "stream.parquet"
        data = write_table(path, detector.sensors, values_by_unit, labelled, times_s)
        log = None
        if alerts is not None:
            log = tmp_path / "alerts.jsonl"
            log.write_text("\n".join([*alerts, ""]))
        out = tmp_path / "page.html"
        write_report(detector.folder, data, out, log, "cpu")
        return Page(out.read_text())

    return report


@pytest.fixture
def evaluated(detector: OnDisk, tmp_path: Path) -> Evaluated:
    """Evaluates a table, by default of one unit with one fault, labelled."""

    def evaluate(
        values_by_unit: dict[str, FloatArray] | None = None,
        labelled: Sequence[int] | None = FAULT,
        times_s: Sequence[float] | None = None,
    ) -> Evaluation:
        values_by_unit = values_by_unit or {"pump-7": series_with_fault()}
        path = tmp_path / "stream.parquet"
        write_table(path, detector.sensors, values_by_unit, labelled, times_s)
        return evaluate_file(detector.folder, path, None, "cpu")

    return evaluate
