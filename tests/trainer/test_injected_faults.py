"""A fault in one of several correlated sensors is found, and that sensor is named."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.detector import Detector
from pipeline.records import FloatArray
from pipeline.settings import parse_trigger
from pipeline.trigger import IncidentRule
from tests import builders
from tests.trainer.training import no_one_listens
from trainer.calibrate import count_incidents
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, train

N_SENSORS, N_SOURCES = 6, 2
N_HISTORY, N_READINGS = 3_000, 300
FAULT = slice(200, 240)
KINDS = ("shift", "spike", "stuck", "noise")
N_INJECTIONS = 40
SETTINGS = TrainerSettings(device="cpu")
RULE = IncidentRule(*parse_trigger(SETTINGS.trigger), SETTINGS.recovery)
N_BEFORE = SETTINGS.window - 1
RANDOM = np.random.default_rng(42)
MIXING_CF = RANDOM.normal(size=(N_SOURCES, N_SENSORS))
PHASE_C = RANDOM.uniform(0, 6, size=N_SOURCES)


def correlated_series(n_readings: int, seed: int) -> FloatArray:
    """Sensors of unit variance that all follow the same few oscillations, with noise."""
    random = np.random.default_rng(seed)
    step_N1 = np.arange(n_readings)[:, None] + random.uniform(0, 1_000)
    drive_NC = np.cumsum(random.normal(size=(n_readings, N_SOURCES)), axis=0) * 0.2
    period_C = 12.0 + 7.0 * np.arange(N_SOURCES)
    source_NC = np.sin(2 * np.pi * step_N1 / period_C + PHASE_C + drive_NC)
    values_NF = source_NC @ MIXING_CF
    values_NF /= np.sqrt(0.5 * np.square(MIXING_CF).sum(axis=0))
    values_NF += 0.1 * random.normal(size=values_NF.shape)
    return np.asarray(values_NF, dtype=np.float32)


def with_fault(
    values_NF: FloatArray, sensor: int, kind: str, random: np.random.Generator
) -> FloatArray:
    faulty_NF = values_NF.copy()
    fault_M = faulty_NF[FAULT, sensor]
    sign = random.choice([-1.0, 1.0])
    if kind == "shift":
        fault_M += sign * random.uniform(2.0, 4.0)
    elif kind == "spike":
        fault_M[:3] += sign * random.uniform(6.0, 10.0)
    elif kind == "stuck":
        fault_M[:] = sign * random.uniform(1.5, 2.0)
    else:
        fault_M += random.uniform(1.5, 3.0) * random.normal(size=len(fault_M))
    return faulty_NF


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder: Path = tmp_path_factory.mktemp("injected") / "machine"
    history = builders.history(correlated_series(N_HISTORY, seed=0))
    return train(history, ENSEMBLE, SETTINGS, folder, no_one_listens).loaded.detector


def test_most_faults_of_one_sensor_are_found_and_the_sensor_named(
    detector: Detector,
) -> None:
    found, named = [], []
    for number in range(N_INJECTIONS):
        random = np.random.default_rng(1_000 + number)
        sensor, kind = number % N_SENSORS, KINDS[number % len(KINDS)]
        values_NF = correlated_series(N_READINGS, seed=1 + number)
        scores = detector.score_series(with_fault(values_NF, sensor, kind, random))
        at = slice(FAULT.start - N_BEFORE, FAULT.stop - N_BEFORE)
        score_B = scores.score_B[at]
        found.append(count_incidents(score_B, np.zeros(len(score_B), np.int64), 1.0, RULE))
        named.append(scores.contribution_BF[at][score_B.argmax()].argmax() == sensor)

    assert np.mean(np.array(found) > 0) >= 0.9
    assert np.mean(named) >= 0.9


def test_the_same_readings_without_a_fault_open_hardly_any_incident(
    detector: Detector,
) -> None:
    n_incidents = 0
    for number in range(N_INJECTIONS):
        score_B = detector.score_series(
            correlated_series(N_READINGS, seed=1 + number)
        ).score_B
        series_B = np.zeros(len(score_B), np.int64)
        n_incidents += count_incidents(score_B, series_B, 1.0, RULE)

    # Eight unit-days, and one a day was asked for.
    assert n_incidents <= 10
