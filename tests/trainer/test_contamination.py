"""Faults in the history that nobody labelled cost detection, within bounds."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.records import BoolArray, FloatArray
from tests import builders
from tests.builders import sensor_series
from tests.trainer.training import quick
from trainer.ranking import average_precision

N_HISTORY, N_READINGS, LENGTH = 5_000, 1_500, 50


def with_faults(values_NF: FloatArray, share: float) -> tuple[FloatArray, BoolArray]:
    """Stretches in which a sensor falls out of step with the others."""
    values_NF, is_faulty_N = values_NF.copy(), np.zeros(len(values_NF), dtype=np.bool_)
    n_faults = round(share * len(values_NF) / LENGTH)
    for number, begin in enumerate(np.linspace(100, len(values_NF) - 100, n_faults)):
        span = slice(int(begin), int(begin) + LENGTH)
        sensor = number % values_NF.shape[1]
        values_NF[span, sensor] += 3.0 * values_NF[:, sensor].std()
        is_faulty_N[span] = True
    return values_NF, is_faulty_N


def precision(share: float, out: Path) -> float:
    """Average precision on faults, trained on a history of which so many are faults."""
    history_NF, _ = with_faults(sensor_series(N_HISTORY), share)
    outcome = quick(out, builders.history(history_NF), model="ensemble", steps=200)
    values_NF, is_faulty_N = with_faults(sensor_series(N_READINGS, seed=1), 0.1)
    score_B = outcome.loaded.detector.score_series(values_NF).score_B
    return average_precision(is_faulty_N[-len(score_B) :], score_B.astype(np.float64))


@pytest.mark.parametrize(("share", "bound"), [(0.01, 0.05), (0.05, 0.1), (0.1, 0.2)])
def test_what_faults_in_the_history_cost_is_bounded(
    share: float, bound: float, tmp_path: Path
) -> None:
    clean = precision(0.0, tmp_path / "clean")

    faulty = precision(share, tmp_path / "faulty")

    assert clean > 0.5
    assert faulty > clean - bound
