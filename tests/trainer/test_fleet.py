"""Histories of several units and of several ways of running."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.artifact import LoadedDetector, load
from pipeline.detector.detector import Detector
from pipeline.records import BoolArray, FloatArray, IntArray
from pipeline.score import Scorer, choose_device
from pipeline.window import cut_windows
from tests import builders
from tests.builders import sensor_series
from tests.trainer.training import quick
from trainer.train import Trained

N_UNITS, N_READINGS = 5, 400
STEPS = 150


def unit_series(unit: int, n_readings: int = N_READINGS, seed: int = 0) -> FloatArray:
    """Each unit runs above the one before it by far more than any of them moves."""
    level_F = 20.0 * unit * sensor_series(N_READINGS).std(axis=0)
    values_NF = sensor_series(n_readings, seed=10 * seed + unit)
    return np.asarray(values_NF + level_F, np.float32)


def fleet(out: Path, **settings: object) -> Trained:
    values_NF = np.concatenate([unit_series(unit) for unit in range(N_UNITS)])
    history = builders.history(values_NF, [N_READINGS] * N_UNITS)
    return quick(out, history, model="ensemble", steps=STEPS, **settings)


def scored(detector: Detector, unit: str, values_NF: FloatArray) -> FloatArray:
    windows = cut_windows(values_NF, detector.window)
    row_B = np.zeros(len(windows), dtype=np.int64)
    scorer = Scorer(detector, choose_device("cpu"))
    return scorer.score(windows, row_B, [unit]).score_B


def faulty(values_NF: FloatArray) -> tuple[FloatArray, BoolArray]:
    """One sensor falls out of step for a while: far less than units differ."""
    values_NF = values_NF.copy()
    is_faulty_N = np.zeros(len(values_NF), dtype=np.bool_)
    is_faulty_N[250:280] = True
    values_NF[is_faulty_N, 1] += 3.0 * values_NF[:, 1].std()
    return values_NF, is_faulty_N


def normal_and_faulty(detector: Detector, unit: str, values_NF: FloatArray) -> FloatArray:
    """Shares of normal readings and of faulty ones that are over the threshold."""
    values_NF, is_faulty_N = faulty(values_NF)
    score_B = scored(detector, unit, values_NF)
    is_over_N = np.append(np.zeros(detector.window - 1), score_B >= 1.0)
    before = slice(0, int(is_faulty_N.argmax()))
    return np.array([is_over_N[before].mean(), is_over_N[is_faulty_N].mean()], np.float32)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> LoadedDetector:
    """Trained on units at levels of their own, and read back."""
    folder = tmp_path_factory.mktemp("own") / "pumps"
    fleet(folder)
    return load(folder)


def test_a_fault_is_seen_in_a_unit_whatever_the_level_it_runs_at(
    own: LoadedDetector,
) -> None:
    assert own.manifest.scaler.kind == "per unit"
    for number, unit in enumerate(own.manifest.scaler.units):
        shares = normal_and_faulty(own.detector, unit, unit_series(number, seed=1))

        assert shares[0] < 0.01
        assert shares[1] > 0.5


def test_pooled_scaling_would_miss_it(tmp_path: Path) -> None:
    outcome = fleet(tmp_path / "pumps", scaling="pooled")

    assert outcome.loaded.manifest.scaler.kind == "pooled"
    found = [
        normal_and_faulty(outcome.loaded.detector, "", unit_series(number, seed=1))[1]
        for number in range(N_UNITS)
    ]
    assert np.mean(found) < 0.1


def test_a_unit_that_was_not_trained_on_raises_no_alarm_at_a_level_among_the_others(
    own: LoadedDetector,
) -> None:
    score_B = scored(own.detector, "a new one", unit_series(2, seed=1))

    assert (score_B >= 1.0).mean() < 0.01


def test_a_unit_far_from_all_others_is_told_from_them(own: LoadedDetector) -> None:
    score_B = scored(own.detector, "a new one", unit_series(40))

    assert (score_B >= 1.0).all()


def regimes(n_readings: int, seed: int) -> tuple[FloatArray, IntArray]:
    """A machine that idles, runs and runs at full load: levels and movement differ."""
    random = np.random.default_rng(seed)
    regime_N = np.repeat(random.integers(0, 3, n_readings // 20 + 1), 20)[:n_readings]
    level_NF = np.array([[1, 20, 0.1], [30, 60, 2], [50, 75, 2.5]])[regime_N]
    spread_NF = np.array([[0.1, 1, 0.01], [1, 1, 0.1], [3, 2, 0.3]])[regime_N]
    common_N1 = random.normal(size=(n_readings, 1))
    noise_NF = random.normal(size=(n_readings, 3))
    values_NF = level_NF + spread_NF * (common_N1 + 0.3 * noise_NF)
    return values_NF.astype(np.float32), regime_N


def test_a_machine_may_change_between_its_ways_of_running(tmp_path: Path) -> None:
    training_NF, _ = regimes(3_000, seed=0)
    outcome = quick(
        tmp_path / "press", builders.history(training_NF), model="ensemble", steps=300
    )
    detector = outcome.loaded.detector
    live_NF, regime_N = regimes(3_000, seed=1)
    is_idle_B = regime_N[detector.window - 1 :] == 0
    # A value that is usual at full load, while the others idle.
    odd_NF = live_NF.copy()
    odd_NF[regime_N == 0, 1] = 75.0

    usual, odd = detector.score_series(live_NF), detector.score_series(odd_NF)

    assert (usual.score_B >= 1.0).mean() < 0.01
    assert (odd.score_B[is_idle_B] >= 1.0).mean() > 0.6
    blamed = odd.contribution_BF[is_idle_B].argmax(axis=1)
    assert (blamed == 1).mean() > 0.6
