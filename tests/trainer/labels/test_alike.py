"""Networks are held against labelled events if these are alike."""

from dataclasses import replace

import numpy as np

from tests import builders
from trainer.labels.alike import contrast_share
from trainer.prepare import prepare
from trainer.settings import TrainerSettings

LENGTH = 20
SETTINGS = TrainerSettings(window=8, device="cpu")


def share(*events: tuple[int, int, float], n_sensors: int = 5) -> float:
    """Of events, each at a row, in which one sensor stands off by so much."""
    values_NF = np.random.default_rng(0).normal(size=(1_500, n_sensors)).astype(np.float32)
    label_N = np.zeros(len(values_NF), dtype=np.bool_)
    for row, sensor, offset in events:
        values_NF[row : row + LENGTH, sensor] += offset
        label_N[row : row + LENGTH] = True
    history = builders.history(values_NF)
    prepared = prepare(replace(history, label_N=label_N, anomalous_N=label_N), SETTINGS)
    assert prepared.labels is not None
    return contrast_share(prepared.labels, prepared.folds)


def test_events_of_one_kind_count_fully() -> None:
    assert share((200, 0, 6.0), (500, 0, 5.0), (900, 0, 6.0)) == 1.0


def test_events_that_are_opposites_do_not_count() -> None:
    assert share((200, 0, 5.0), (500, 0, -5.0)) == 0.0


def test_a_single_event_does_not_count() -> None:
    assert share((200, 0, 6.0)) == 0.0


def test_silenced_events_are_not_held_against_anything() -> None:
    history = builders.history(builders.sensor_series(600))
    silenced_N = np.zeros(600, dtype=np.bool_)
    silenced_N[100:120] = True

    prepared = prepare(replace(history, silenced_N=silenced_N), SETTINGS)

    assert prepared.labels is not None
    assert contrast_share(prepared.labels, prepared.folds) == 0.0
