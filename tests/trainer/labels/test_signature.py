"""How far labelled events are believed to be alike."""

import numpy as np
import pytest

from pipeline.detector.signature import Feature, Signature
from pipeline.records import FloatArray
from trainer.labels.signature import MAX_KINDS, MAX_WEIGHT, SINGLE_WEIGHT, fit_signature

N_SENSORS = 6
each_feature = pytest.mark.parametrize("feature", ["offset", "size"])


def fitted(
    mean_EF: FloatArray, feature: Feature = "offset", sign: float = 1.0, n: int = 100
) -> Signature:
    ones_F = np.ones(N_SENSORS, dtype=np.float32)
    empty = Signature(feature, 8, ones_F, ones_F, ones_F[None], 0.0, 1.0, 0.0)
    normal_BF = np.random.default_rng(0).normal(size=(4_000, N_SENSORS)) * 0.4
    n_E = [n] * len(mean_EF)
    return fit_signature(empty, normal_BF.astype(np.float32), mean_EF, n_E, sign)


def alike(n_events: int) -> FloatArray:
    """Events in which the first sensor is high."""
    mean_EF = 0.2 * np.random.default_rng(1).normal(size=(n_events, N_SENSORS))
    mean_EF[:, 0] += 4.0
    return mean_EF.astype(np.float32)


@each_feature
def test_events_that_are_alike_are_believed_fully(feature: Feature) -> None:
    signature = fitted(alike(5), feature)

    assert signature.weight == pytest.approx(MAX_WEIGHT)
    assert int(signature.direction_KF[0].argmax()) == 0


@each_feature
def test_events_that_have_nothing_in_common_change_nothing(feature: Feature) -> None:
    apart_EF = 4.0 * np.eye(N_SENSORS, dtype=np.float32) - 1.0

    assert fitted(apart_EF, feature).weight == 0.0


def test_what_is_to_be_silenced_counts_against() -> None:
    assert fitted(alike(5), sign=-1.0).weight == pytest.approx(-MAX_WEIGHT)


def test_a_single_event_is_believed_a_little_and_less_if_it_is_short() -> None:
    long, short = (fitted(alike(1), n=n).weight for n in (200, 6))

    assert 0.0 < short < long < SINGLE_WEIGHT["offset"] < MAX_WEIGHT


def test_normal_readings_resemble_nothing_much() -> None:
    signature = fitted(alike(5))

    random = np.random.default_rng(2)
    normal_BF = (0.4 * random.normal(size=(2_000, N_SENSORS))).astype(np.float32)
    z_B = signature.resemblance(normal_BF - signature.center_F)

    assert abs(float(z_B.mean())) < 0.1
    assert float(z_B.std()) == pytest.approx(1.0, abs=0.1)


def test_many_events_become_a_few_kinds() -> None:
    mean_EF = np.random.default_rng(3).normal(size=(40, N_SENSORS)).astype(np.float32)

    assert len(fitted(mean_EF).direction_KF) == MAX_KINDS
