"""What is added to reconstructions: as much of the residuals as is signal, not noise."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from pipeline.records import FloatArray, IntArray

SPANS = (1, 3, 9)
"""Rows that residuals are averaged over, around each."""
REACH = max(SPANS) // 2
ENERGY_SPAN = 5
"""Rows over which it is looked whether residuals are larger than noise."""
N_PARTS = len(SPANS) + 1
RIDGE = 1e-4
DoubleArray = npt.NDArray[np.float64]


class Around(NamedTuple):
    """E rows among M rows, some of them of their unit."""

    residual_MF: FloatArray
    """Observed less reconstructed, scaled; NaN where there is no one or the other."""
    at_E: IntArray
    first_E: IntArray
    last_E: IntArray
    """See `Finished`."""


def parts(around: Around, noise_F: FloatArray) -> FloatArray:
    """What a row's residuals may add to its reconstruction, shape (P, E, F).

    Their means over each of `SPANS` rows around it, and its own as far as the residuals
    around it are larger than noise would make them: a burst that the networks did not
    foresee is kept, and where nothing happens noise is not. Source of the last one: Lee
    (1980), doi:10.1109/TPAMI.1980.4766994.

    Args:
        around: the rows.
        noise_F: standard deviation of the noise, scaled.
    """
    shape = (len(around.at_E), around.residual_MF.shape[1])
    sum_EF, n_EF, energy_EF = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    mean_of_span = {}
    for offset in range(REACH + 1):
        for position_E in {
            offset: around.at_E + offset,
            -offset: around.at_E - offset,
        }.values():
            is_there_E = (position_E >= around.first_E) & (position_E <= around.last_E)
            row_EF = around.residual_MF[np.where(is_there_E, position_E, around.at_E)]
            counts_EF = is_there_E[:, None] & ~np.isnan(row_EF)
            row_EF = np.where(counts_EF, row_EF, np.float32(0.0))
            sum_EF += row_EF
            n_EF += counts_EF
            if offset <= ENERGY_SPAN // 2:
                energy_EF += np.square(row_EF)
        if 2 * offset + 1 in SPANS:
            mean_of_span[2 * offset + 1] = sum_EF / np.maximum(n_EF, 1.0)
        if offset == ENERGY_SPAN // 2:
            energy_EF /= np.maximum(n_EF, 1.0)
    tiny = np.finfo(np.float32).tiny
    expected_F = np.maximum(2.0 * np.square(noise_F), tiny)
    own_EF = mean_of_span[1] * (1.0 - expected_F / np.maximum(energy_EF, expected_F))
    return np.stack([*(mean_of_span[span] for span in SPANS), own_EF])


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How much of each part is added, per sensor."""

    noise_F: FloatArray
    """Standard deviation of the noise, scaled."""
    weight_PF: FloatArray
    """>= 0, and a sensor's together at most 1: as noisy as the readings is the worst that
    can come out."""

    def added(self, around: Around) -> FloatArray:
        """What is added to the rows' reconstructions, scaled, shape (E, F)."""
        parts_PEF = parts(around, self.noise_F)
        return np.asarray(np.einsum("pf,pef->ef", self.weight_PF, parts_PEF))


def fit_smoothing(
    plain: Around, nudged: Around, nudge_EF: FloatArray, noise_F: FloatArray
) -> Smoothing:
    """Choose each sensor's weights, without ever seeing readings free of noise.

    Those with the least squared error to the signal, as it is estimated from noisy readings
    alone: by how far the result is from the readings, and how much it follows when these
    are nudged at random, as noise does. Sources: Stein (1981), doi:10.1214/aos/1176345632;
    by nudging: Ramani et al. (2008), doi:10.1109/TIP.2008.2001404; a sum of parts: Blu &
    Luisier (2007), doi:10.1109/TIP.2007.906002.

    Args:
        plain: rows as they are.
        nudged: the same after every reading was nudged.
        nudge_EF: by how much, scaled: as much up as down at random, the same size for all
            rows of a sensor.
        noise_F: standard deviation of the noise, scaled.
    """
    parts_PEF = parts(plain, noise_F).astype(np.float64)
    nudged_PEF = parts(nudged, noise_F)
    residual_EF = plain.residual_MF[plain.at_E].astype(np.float64)
    nudge_EF = np.where(np.isnan(residual_EF), np.float32(0.0), nudge_EF)
    follows_PF = _per_nudge(nudged_PEF - parts_PEF, nudge_EF)
    weight_PF = np.zeros((N_PARTS, len(noise_F)), dtype=np.float32)
    for f in range(len(noise_F)):
        is_observed_E = ~np.isnan(residual_EF[:, f])
        n_observed = max(int(is_observed_E.sum()), 1)
        parts_PE = parts_PEF[:, is_observed_E, f]
        weight_PF[:, f] = _weights(
            parts_PE @ parts_PE.T / n_observed,
            parts_PE @ residual_EF[is_observed_E, f] / n_observed
            - float(noise_F[f]) ** 2 * follows_PF[:, f],
        )
    return Smoothing(noise_F, weight_PF)


def _per_nudge(change_PEF: DoubleArray, nudge_EF: FloatArray) -> DoubleArray:
    """How much the parts follow the readings that they are of, on average, shape (P, F)."""
    size_F = np.maximum(np.square(nudge_EF, dtype=np.float64).sum(axis=0), 1e-300)
    return np.asarray(np.einsum("pef,ef->pf", change_PEF, nudge_EF) / size_F)


def _weights(product_PP: DoubleArray, wanted_P: DoubleArray) -> DoubleArray:
    """Weights >= 0 of the least w' A w - 2 w' b, and of a sum of at most 1."""
    trace = float(np.trace(product_PP))
    if trace <= 0.0:
        return np.zeros(len(wanted_P))
    lower_PP = np.linalg.cholesky(product_PP + RIDGE * trace / N_PARTS * np.eye(N_PARTS))
    weight_P, _ = nnls(lower_PP.T, np.linalg.solve(lower_PP, wanted_P))
    return np.asarray(weight_P / max(float(weight_P.sum()), 1.0))
