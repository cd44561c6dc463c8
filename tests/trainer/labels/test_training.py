"""What a detector makes of new events once it was told of some like them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.detector import Detector
from pipeline.records import BoolArray, FloatArray
from tests import builders
from tests.trainer.training import quick
from trainer.history import History

EVENTS = (100, 250, 400, 700)
LENGTH = 20


def readings(seed: int = 0) -> FloatArray:
    """Four times the first sensor goes up for a while."""
    values_NF = builders.sensor_series(900, seed)
    for event in EVENTS:
        values_NF[event : event + LENGTH, 0] += 0.25
    return values_NF


def flagged(*events: int) -> BoolArray:
    flag_N = np.zeros(900, dtype=np.bool_)
    for event in events:
        flag_N[event : event + LENGTH] = True
    return flag_N


def told(anomalous: BoolArray, silenced: BoolArray) -> History:
    history = builders.history(readings())
    return replace(history, label_N=anomalous, anomalous_N=anomalous, silenced_N=silenced)


def contrast(detector: Detector) -> float:
    """How much higher events like these score than other readings, in new readings."""
    score_B = detector.score_series(readings(seed=5)).score_B
    is_event_B = flagged(*EVENTS)[detector.window - 1 :]
    return float(np.median(score_B[is_event_B]) / np.median(score_B[~is_event_B]))


@pytest.mark.parametrize("model", ["ae", "vae"])
def test_events_like_the_labelled_ones_stand_out_more(model: str, tmp_path: Path) -> None:
    informed = told(flagged(*EVENTS), flagged())
    unlabelled = replace(informed, anomalous_N=None, silenced_N=None)

    without = quick(
        tmp_path / "a", unlabelled, model, steps=100, batch_windows=64
    ).loaded.detector
    with_labels = quick(
        tmp_path / "b", informed, model, steps=100, batch_windows=64
    ).loaded.detector

    assert contrast(with_labels) > 1.1 * contrast(without)


def test_events_like_the_silenced_ones_stand_out_less(tmp_path: Path) -> None:
    informed = told(flagged(), flagged(*EVENTS))
    unlabelled = replace(informed, anomalous_N=None, silenced_N=None)

    without = quick(tmp_path / "a", unlabelled, steps=100, batch_windows=64).loaded.detector
    silenced = quick(tmp_path / "b", informed, steps=100, batch_windows=64).loaded.detector

    assert contrast(silenced) < contrast(without)


def test_units_with_scalers_of_their_own_learn_from_labels_too(tmp_path: Path) -> None:
    values_NF = readings()
    values_NF[450:] = 40.0 + 7.0 * values_NF[450:]
    label_N = flagged(100, 700)
    history = replace(
        builders.history(values_NF, [450, 450]), label_N=label_N, anomalous_N=label_N
    )

    loaded = quick(tmp_path / "a", history, scaling="per-unit").loaded

    assert loaded.manifest.scaler.kind == "per unit"
    assert "signatures" in (tmp_path / "a" / "manifest.json").read_text()


def test_labels_with_gaps_in_them_are_learned_from(tmp_path: Path) -> None:
    label_N = flagged(100, 400)
    values_NF = readings()
    values_NF[95:130, 1] = np.nan
    history = replace(builders.history(values_NF), label_N=label_N, anomalous_N=label_N)

    loaded = quick(tmp_path / "a", history, "vae").loaded

    assert np.isfinite(loaded.detector.score_series(values_NF).score_B).all()


def test_scores_of_whole_windows_have_the_contrast_alone(tmp_path: Path) -> None:
    informed = told(flagged(*EVENTS), flagged())
    plain = replace(informed, anomalous_N=None)

    parts = [
        quick(tmp_path / name, history, "vae", score="elbo").loaded.manifest
        for name, history in (("a", plain), ("b", informed))
    ]

    assert parts[0].weights.sha256 != parts[1].weights.sha256
