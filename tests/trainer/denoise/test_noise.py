"""How noisy readings are beyond their history."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.records import FloatArray
from tests import builders
from trainer.denoise.noise import estimated_noise

NORMAL_NF = builders.sensor_series(2_000)
SCALED_NF = (NORMAL_NF - NORMAL_NF.mean(axis=0)) / NORMAL_NF.std(axis=0)
NORMAL_BTF = builders.windows_of(SCALED_NF)


def estimated(noisy_NF: FloatArray, normal_BTF: FloatArray = NORMAL_BTF) -> FloatArray:
    return estimated_noise(normal_BTF, noisy_NF, np.arange(len(noisy_NF)) > 0)


def with_noise(level_F: float | Sequence[float], n: int = 2_000) -> FloatArray:
    noise_NF = np.random.default_rng(1).normal(size=(n, 3))
    noisy_NF: FloatArray = (SCALED_NF[:n] + np.array(level_F) * noise_NF).astype(np.float32)
    return noisy_NF


@pytest.mark.parametrize("length", [2, 3, 8])
def test_the_noise_of_each_sensor_is_found(length: int) -> None:
    noise_F = estimated(with_noise((0.5, 1.0, 2.0)), NORMAL_BTF[:, :length])

    np.testing.assert_allclose(noise_F, [0.5, 1.0, 2.0], rtol=0.15)


def test_anomalies_are_no_noise() -> None:
    noisy_NF = with_noise(0.5)
    noisy_NF[500:700] += 20.0 * np.random.default_rng(2).normal(size=(200, 3))

    np.testing.assert_allclose(estimated(noisy_NF), 0.5, rtol=0.3)


def test_readings_like_the_history_have_none() -> None:
    assert (estimated(SCALED_NF) < 0.02).all()


@pytest.mark.parametrize(
    ("noisy_NF", "normal_BTF"),
    [
        (np.full((2_000, 3), np.nan, np.float32), NORMAL_BTF),
        (with_noise(0.5, n=50), NORMAL_BTF),
        (with_noise(0.5, n=1), NORMAL_BTF),
        (with_noise(0.5), NORMAL_BTF[:, :1]),
    ],
)
def test_of_too_little_nothing_is_concluded(
    noisy_NF: FloatArray, normal_BTF: FloatArray
) -> None:
    assert estimated(noisy_NF, normal_BTF).tolist() == [0.0, 0.0, 0.0]


def test_a_step_from_unit_to_unit_is_no_noise() -> None:
    one_each_NF = SCALED_NF + 5.0 * (np.arange(len(SCALED_NF)) % 2)[:, None]
    is_next_N = np.zeros(len(SCALED_NF), dtype=np.bool_)

    noise_F = estimated_noise(NORMAL_BTF, one_each_NF.astype(np.float32), is_next_N)

    assert noise_F.tolist() == [0.0, 0.0, 0.0]
