"""How noisy readings are beyond those that a detector learned from."""

import numpy as np
import numpy.typing as npt

from pipeline.records import FloatArray

N_HALVINGS = 30
MAX_NOISE = 10.0
"""In standard deviations."""
MIN_DIFFERENCES = 100
"""Of a sensor, on either side. From fewer nothing is concluded."""
MAX_DIFFERENCES = 20_000


def estimated_noise(
    normal_BTF: FloatArray, noisy_NF: FloatArray, is_next_N: npt.NDArray[np.bool_]
) -> FloatArray:
    """Standard deviation of the white noise in readings that is not in normal history.

    Noise changes from row to row, and most of the signal does not: so second differences
    are looked at. It is the noise that, added to those of normal history, gives them the
    median size of those of the readings. A median, so that bursts, steps and anomalies on
    either side do not count. Source of noise from medians of differences: Hall et al.
    (1990), doi:10.1093/biomet/77.3.521.

    Args:
        normal_BTF: short windows of normal history, scaled.
        noisy_NF: readings, scaled.
        is_next_N: whether a row is its unit's next one after the row before it.

    Returns:
        Shape (F,), in standard deviations of the history: 0.0 where the readings are no
        noisier, or too few to say.
    """
    order = min(2, normal_BTF.shape[1] - 1)
    noise_F = np.zeros(noisy_NF.shape[1], dtype=np.float32)
    if order < 1 or len(noisy_NF) <= order:
        return noise_F
    normal_DF = np.diff(normal_BTF, order, axis=1).reshape(-1, normal_BTF.shape[2])
    is_run_D = np.logical_and.reduce(
        [is_next_N[1 + step : len(is_next_N) - order + 1 + step] for step in range(order)]
    )
    noisy_DF = np.diff(noisy_NF, order, axis=0)[is_run_D]
    # Of white noise's first differences 2, of its second ones 1 + 4 + 1.
    gain = np.sqrt(2.0 if order == 1 else 6.0)
    random = np.random.default_rng(0)
    for f in range(len(noise_F)):
        normal_D, noisy_D = _some(normal_DF[:, f], random), _some(noisy_DF[:, f], random)
        if min(len(normal_D), len(noisy_D)) >= MIN_DIFFERENCES:
            unit_noise_D = gain * random.standard_normal(len(normal_D))
            noise_F[f] = _matching(
                normal_D, unit_noise_D, float(np.median(np.abs(noisy_D)))
            )
    return noise_F


def _matching(normal_D: FloatArray, unit_noise_D: FloatArray, median: float) -> float:
    """The noise with which `normal_D` has this median size."""
    least, most = 0.0, MAX_NOISE
    if np.median(np.abs(normal_D)) >= median:
        return 0.0
    for _ in range(N_HALVINGS):
        middle = (least + most) / 2
        if np.median(np.abs(normal_D + middle * unit_noise_D)) < median:
            least = middle
        else:
            most = middle
    return least


def _some(difference_D: FloatArray, random: np.random.Generator) -> FloatArray:
    observed_D = difference_D[~np.isnan(difference_D)]
    if len(observed_D) <= MAX_DIFFERENCES:
        return observed_D
    return random.choice(observed_D, MAX_DIFFERENCES, replace=False)
