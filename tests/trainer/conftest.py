"""How hypothesis runs, and detectors that are trained once."""

from collections.abc import Callable, Sequence
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
    WINDOW,
    Evaluated,
    OnDisk,
    Page,
    Reported,
    series_with_fault,
    write_table,
)
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
    epochs=20,
    warmup_epochs=5,
    learning_rate=3e-3,
    false_alarms_per_day=5.0,
    trigger="3/5",
    recovery=10,
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """A detector of a family, trained on two units of normal readings."""

    @cache
    def of_family(family: str) -> Trained:
        folder: Path = tmp_path_factory.mktemp(family)
        history = builders.history(builders.sensor_series(1_500), [900, 600])
        return train(history, family, SMALL, folder / "pumps", lambda _fraction, _: None)

    return of_family


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    """A tiny detector, one of whose sensors has a hostile name."""
    history = builders.history(builders.sensor_series(1_500))
    sensors = (*history.sensors[:-1], HOSTILE_SENSOR)
    object.__setattr__(history, "sensors", sensors)
    folder = tmp_path_factory.mktemp("trained") / "pumps"
    settings = TrainerSettings(window=WINDOW, epochs=15, false_alarms_per_day=5.0)
    trained = train(history, "ae", settings, folder, lambda done, epoch: None)
    return OnDisk(folder, trained.loaded.digest, sensors)


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
