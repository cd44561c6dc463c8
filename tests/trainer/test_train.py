"""From history to a detector on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.artifact import load
from pipeline.detector.families import FAMILIES
from pipeline.errors import InputError
from pipeline.trigger import IncidentRule
from tests import builders
from tests.builders import sensor_series, windows_of
from trainer.calibrate import count_incidents
from trainer.fit import Epoch
from trainer.history import History
from trainer.settings import TrainerSettings
from trainer.train import Trained, train

QUICK = TrainerSettings(window=8, epochs=2, warmup_epochs=0)
each_family = pytest.mark.parametrize("family", sorted(FAMILIES))


def no_one_listens(fraction: float, epoch: Epoch | None) -> None:
    """Progress that is not shown."""


def quick(out: Path, history: History | None = None, **settings: object) -> Trained:
    """A detector that has learned next to nothing, at once."""
    return train(
        history or builders.history(sensor_series(400)),
        "ae",
        QUICK.model_copy(update=settings),
        out,
        no_one_listens,
    )


@each_family
def test_normal_readings_score_below_the_threshold_for_the_most_part(
    family: str, trained: Callable[[str], Trained]
) -> None:
    detector = trained(family).loaded.detector

    score_B = detector.score(windows_of(sensor_series(1_500)[:500])).score_B

    assert np.mean(score_B < 1.0) > 0.95
    assert np.median(score_B) > 0.05


@each_family
@pytest.mark.parametrize("sensor", [0, 1, 2])
def test_a_sensor_that_jumps_is_found_and_named(
    family: str, sensor: int, trained: Callable[[str], Trained]
) -> None:
    detector = trained(family).loaded.detector
    windows_BTF = windows_of(sensor_series(1_500)[:300])
    windows_BTF[:, -3:, sensor] += 8 * detector.scaler.scale_F[sensor]

    scores = detector.score(windows_BTF)

    assert np.mean(scores.score_B > 1.0) > 0.9
    assert np.mean(scores.contribution_BF.argmax(axis=1) == sensor) > 0.9


@each_family
def test_what_is_expected_of_normal_readings_is_near_them(
    family: str, trained: Callable[[str], Trained]
) -> None:
    values_NF = sensor_series(1_500)[:500]
    scores = trained(family).loaded.detector.score(windows_of(values_NF))

    distance_BF = np.abs(scores.observed_BF - scores.expected_BF)
    assert (np.median(distance_BF, axis=0) < 0.5 * values_NF.std(axis=0)).all()


@each_family
def test_the_threshold_keeps_its_promise_on_the_calibration_part(
    family: str, trained: Callable[[str], Trained]
) -> None:
    outcome = trained(family)
    detector, part = outcome.loaded.detector, outcome.loaded.manifest.threshold
    score_B = detector.score(
        np.ascontiguousarray(outcome.parts.calibration.gather(slice(None)))
    ).score_B

    n_incidents = count_incidents(
        score_B, outcome.parts.calibration_unit_B, 1.0, IncidentRule(3, 5, 10)
    )

    assert n_incidents == part.observed_false_alarms
    assert n_incidents <= 5.0 * part.calibration_unit_days
    assert part.value == outcome.calibration.threshold


@each_family
def test_what_was_trained_is_what_is_loaded(
    family: str, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    outcome = trained(family)
    manifest = outcome.loaded.manifest

    assert manifest.name == "pumps"
    assert manifest.model.family == family
    assert manifest.training.n_rows == 1_500
    assert manifest.training.n_units == 2
    assert manifest.training.n_windows == outcome.parts.n_windows()
    assert manifest.training.best_epoch == outcome.fitted.best.number
    assert manifest.incident.trigger == (3, 5)
    assert any("gap between parts" in line for line in manifest.training.left_out)


def test_the_same_seed_and_history_give_the_same_digest(tmp_path: Path) -> None:
    first = quick(tmp_path / "a" / "pumps")
    again = quick(tmp_path / "b" / "pumps")
    other = quick(tmp_path / "c" / "pumps", seed=1)

    assert first.loaded.digest == again.loaded.digest
    assert first.loaded.digest != other.loaded.digest


def test_sizes_and_rule_follow_the_settings(tmp_path: Path) -> None:
    manifest = quick(
        tmp_path / "pumps", hidden=20, latent=3, trigger="2/4", recovery=6
    ).loaded.manifest

    assert (manifest.model.window, manifest.model.hidden, manifest.model.latent) == (
        8,
        20,
        3,
    )
    assert (manifest.incident.trigger, manifest.incident.recovery) == ((2, 4), 6)


def test_the_scaler_is_fitted_on_the_training_part_alone(tmp_path: Path) -> None:
    values_NF = sensor_series(400)
    shifted_NF = values_NF.copy()
    shifted_NF[300:] += 100.0

    first = quick(tmp_path / "a", builders.history(values_NF)).loaded.manifest
    shifted = quick(tmp_path / "b", builders.history(shifted_NF)).loaded.manifest

    assert shifted.scaler == first.scaler


def test_missing_values_can_be_trained_on(tmp_path: Path) -> None:
    values_NF = sensor_series(400)
    values_NF[np.random.default_rng(0).random(values_NF.shape) < 0.2] = np.nan

    outcome = quick(tmp_path / "pumps", builders.history(values_NF))

    assert np.isfinite(outcome.calibration.threshold)


def test_a_sensor_that_stands_still_can_be_trained_on(tmp_path: Path) -> None:
    values_NF = sensor_series(400)
    values_NF[:, 1] = 21.5

    detector = quick(tmp_path / "pumps", builders.history(values_NF)).loaded.detector

    values_NF[:, 1] = 42.0
    scores = detector.score(windows_of(values_NF))
    assert np.isfinite(scores.score_B).all()
    assert (scores.contribution_BF.argmax(axis=1) == 1).all()


def test_a_sensor_that_begins_late_does_not_blind_the_detector(tmp_path: Path) -> None:
    values_NF = sensor_series(400)
    without = quick(tmp_path / "without", builders.history(values_NF[:, :2])).loaded
    values_NF[:250, 2] = np.nan
    values_NF[:, 2] *= 1_000.0

    loaded = quick(tmp_path / "late", builders.history(values_NF)).loaded

    assert loaded.detector.sensors == ("sensor-0", "sensor-1")
    assert loaded.detector.threshold == without.detector.threshold
    assert [line for line in loaded.manifest.training.left_out if "sensor-2" in line]


def test_false_alarms_are_counted_per_day_that_each_unit_was_watched(
    tmp_path: Path,
) -> None:
    history = builders.history(sensor_series(1_200), [600, 600])
    history.time_s_N[:600] /= 6.0  # every 10 s, not every minute

    outcome = quick(tmp_path / "pumps", history)

    n_steps = len(outcome.parts.calibration) / 2 - 1
    assert outcome.calibration.unit_days == pytest.approx(n_steps * (10 + 60) / 86_400)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(fraction: float, epoch: Epoch | None) -> None:
        if fraction > 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(
            builders.history(sensor_series(400)), "ae", QUICK, tmp_path / "pumps", interrupt
        )

    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")

    def too_late(fraction: float, epoch: Epoch | None) -> None:
        raise AssertionError("training began")

    with pytest.raises(InputError, match="choose another --out"):
        train(builders.history(sensor_series(400)), "ae", QUICK, tmp_path, too_late)


def test_a_detector_is_replaced_by_the_next(tmp_path: Path) -> None:
    quick(tmp_path / "pumps")

    second = quick(tmp_path / "pumps", seed=1)

    assert load(tmp_path / "pumps").digest == second.loaded.digest
