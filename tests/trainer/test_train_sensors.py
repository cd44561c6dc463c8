"""Sensors as they come: standing still, missing, doubled, of any unit, on or off."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.residual import ResidualScoring
from pipeline.errors import InputError
from pipeline.records import FloatArray
from tests import builders
from tests.builders import sensor_series
from tests.trainer.training import quick
from trainer.train import Trained

N_READINGS = 400


def trained_on(values_NF: FloatArray, out: Path) -> Trained:
    return quick(out, builders.history(values_NF), model="ensemble", steps=60)


def peak(outcome: Trained, values_NF: FloatArray) -> tuple[float, int]:
    """The highest score, and the sensor that has the largest part in it."""
    scores = outcome.loaded.detector.score_series(values_NF)
    assert np.isfinite(scores.score_B).all()
    assert np.isfinite(scores.contribution_BF).all()
    top = scores.score_B.argmax()
    return float(scores.score_B[top]), int(scores.contribution_BF[top].argmax())


def test_missing_values_can_be_trained_on(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    values_NF[np.random.default_rng(0).random(values_NF.shape) < 0.2] = np.nan

    outcome = trained_on(values_NF, tmp_path / "pumps")

    assert peak(outcome, values_NF)[0] > 0.0
    assert np.isfinite(outcome.calibration.threshold)


def test_a_sensor_that_stands_still_is_left_out_and_told_of(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    without = trained_on(values_NF[:, [0, 2]], tmp_path / "without").loaded
    values_NF[:, 1] = 21.5

    loaded = trained_on(values_NF, tmp_path / "pumps").loaded

    assert loaded.detector.sensors == ("sensor-0", "sensor-2")
    assert loaded.manifest.training.left_out == [
        "sensors left out, one value only: sensor-1"
    ]
    assert loaded.detector.threshold == without.detector.threshold


def test_a_sensor_that_moved_in_a_labelled_fault_alone_stood_still(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    values_NF[:, 1] = 21.5
    values_NF[150:160, 1] = 99.0
    history = builders.history(values_NF, labelled=range(150, 160))

    detector = quick(tmp_path / "pumps", history).loaded.detector

    assert detector.sensors == ("sensor-0", "sensor-2")


def test_units_of_different_levels_are_not_taken_for_drift(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    values_NF[200:] += 20 * values_NF.std(axis=0)
    history = builders.history(values_NF, [200, 200])

    scoring = quick(tmp_path / "pumps", history).loaded.detector.scoring

    assert isinstance(scoring, ResidualScoring)
    # What drifts would have scales of several standard deviations.
    assert max(float(s.scale_F.max()) for s in scoring.statistics) < 1.5


def test_where_nothing_moved_the_first_move_scores_high(tmp_path: Path) -> None:
    values_NF = np.full((N_READINGS, 2), 21.5, dtype=np.float32)

    outcome = trained_on(values_NF, tmp_path / "pumps")

    before, _ = peak(outcome, values_NF)
    values_NF[200:, 1] = 42.0
    after, sensor = peak(outcome, values_NF)
    assert before < 1.0 < after
    assert sensor == 1


@pytest.mark.parametrize("n_missing", [N_READINGS, 395])
def test_a_sensor_without_values_does_not_blind_the_detector(
    n_missing: int, tmp_path: Path
) -> None:
    values_NF = sensor_series(N_READINGS)
    without = trained_on(values_NF[:, :2], tmp_path / "without").loaded
    values_NF[:n_missing, 2] = np.nan
    values_NF[:, 2] *= 1_000.0

    loaded = trained_on(values_NF, tmp_path / "late").loaded

    assert loaded.detector.sensors == ("sensor-0", "sensor-1")
    assert loaded.detector.threshold == without.detector.threshold
    assert [line for line in loaded.manifest.training.left_out if "sensor-2" in line]


def test_history_without_any_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="every sensor has fewer than 10 values"):
        trained_on(np.full((N_READINGS, 2), np.nan, dtype=np.float32), tmp_path / "pumps")


def test_a_sensor_that_is_there_twice_can_be_trained_on(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    values_NF = np.concatenate([values_NF, values_NF[:, :1]], axis=1)

    outcome = trained_on(values_NF, tmp_path / "pumps")

    normal, _ = peak(outcome, values_NF)
    values_NF[200:220, 3] += 8 * values_NF[:, 3].std()
    faulty, sensor = peak(outcome, values_NF)
    assert faulty > max(1.0, 2 * normal)
    assert sensor == 3


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_the_unit_that_a_sensor_is_measured_in_hardly_matters(
    factor: float, tmp_path: Path
) -> None:
    values_NF = sensor_series(N_READINGS)
    usual = trained_on(values_NF, tmp_path / "usual")
    factor_F = np.array([1.0, factor, 1.0], dtype=np.float32)

    scaled = trained_on(factor_F * values_NF, tmp_path / "scaled")

    threshold = usual.loaded.detector.threshold
    assert scaled.loaded.detector.threshold == pytest.approx(threshold, rel=0.05)
    values_NF[200:220, 1] += 8 * values_NF[:, 1].std()
    score, sensor = peak(usual, values_NF)
    scaled_score, scaled_sensor = peak(scaled, factor_F * values_NF)
    assert sensor == scaled_sensor == 1
    assert scaled_score == pytest.approx(score, rel=0.1)
    assert scaled_score > 1.0


def test_a_flag_is_context_and_its_change_no_fault(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS)
    values_NF[:, 1] = np.arange(N_READINGS) // 40 % 2

    outcome = trained_on(values_NF, tmp_path / "pumps")

    detector = outcome.loaded.detector
    assert outcome.loaded.manifest.training.left_out == []
    assert detector.sensors == ("sensor-0", "sensor-1", "sensor-2")
    scores = detector.score_series(values_NF)
    assert not scores.contribution_BF[:, 1].any()
    np.testing.assert_allclose(scores.contribution_BF.sum(axis=1), 1.0, atol=1e-5)


def test_one_sensor_alone_can_be_trained_on(tmp_path: Path) -> None:
    values_NF = sensor_series(N_READINGS, n_sensors=1)

    outcome = trained_on(values_NF, tmp_path / "pumps")

    normal, _ = peak(outcome, values_NF)
    values_NF[200:220] += 30 * values_NF.std()
    assert peak(outcome, values_NF)[0] > max(1.0, 3 * normal)
