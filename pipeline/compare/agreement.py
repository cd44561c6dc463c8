"""How alike the scores of two detectors are, from a bounded sample of readings."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.compare.side import Scored
from pipeline.records import FloatArray, IntArray, TimeArray

MAX_SAMPLE = 100_000
QUANTILES = (0.5, 0.9, 0.99, 0.999)

HashArray = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Scores of the readings that both have scored."""

    n_readings: int
    """All of them."""
    score_S2: FloatArray
    """Of a sample, of all if these are few: scores by the first and the second."""
    rank_correlation: float
    """Spearman's, -1 to 1; NaN where one of them says the same of all."""
    quantile_2Q: FloatArray
    """For each of them, at `QUANTILES`; NaN where there are none."""


class AgreementBuilder:
    """Takes scores turn by turn; its size never grows beyond twice `MAX_SAMPLE`.

    The sample is of the readings whose unit and time have the smallest hashes. So it is
    random, and the same in whatever order, and from wherever, the readings come.
    """

    def __init__(self) -> None:
        self._n_readings = 0
        self._hash_S = np.empty(0, dtype=np.uint64)
        self._score_S2 = np.empty((0, 2), dtype=np.float32)
        self._hash_U = np.empty(0, dtype=np.uint64)

    def add(self, first: Scored, second: Scored) -> None:
        """Take one turn's scores by both."""
        _, at_first, at_second = np.intersect1d(
            first.number_S, second.number_S, assume_unique=True, return_indices=True
        )
        self._n_readings += len(at_first)
        hash_S = self._hashes(first.row_S[at_first], first.time_s_S[at_first], first.units)
        score_S2 = np.column_stack([first.score_S[at_first], second.score_S[at_second]])
        self._hash_S = np.concatenate([self._hash_S, hash_S])
        self._score_S2 = np.concatenate([self._score_S2, score_S2])
        if len(self._hash_S) > 2 * MAX_SAMPLE:
            self._thin_out()

    def agreement(self) -> Agreement:
        """Of all that was added."""
        if len(self._hash_S) > MAX_SAMPLE:
            self._thin_out()
        # In an order that does not depend on that of the readings.
        score_S2 = self._score_S2[np.argsort(self._hash_S, kind="stable")]
        quantile_2Q = np.full((2, len(QUANTILES)), np.nan, dtype=np.float32)
        if len(score_S2):
            quantile_2Q = np.quantile(score_S2, QUANTILES, axis=0).T.astype(np.float32)
        return Agreement(
            self._n_readings, score_S2, rank_correlation(score_S2), quantile_2Q
        )

    def _thin_out(self) -> None:
        smallest = np.argpartition(self._hash_S, MAX_SAMPLE)[:MAX_SAMPLE]
        self._hash_S, self._score_S2 = self._hash_S[smallest], self._score_S2[smallest]

    def _hashes(
        self, row_S: IntArray, time_s_S: TimeArray, units: Sequence[str]
    ) -> HashArray:
        new = [zlib.crc32(unit.encode()) for unit in units[len(self._hash_U) :]]
        if new:
            self._hash_U = np.concatenate([self._hash_U, np.array(new, dtype=np.uint64)])
        time_S = np.ascontiguousarray(time_s_S).view(np.uint64)
        return _mixed(time_S ^ _mixed(self._hash_U[row_S]))


def _mixed(value_S: HashArray) -> HashArray:
    """Source: splitmix64, Steele et al. (2014), doi:10.1145/2660193.2660195."""
    mixed = value_S + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def rank_correlation(score_S2: FloatArray) -> float:
    """Spearman's rank correlation of two columns; equal values share their mean rank."""
    if len(score_S2) == 0:
        return float("nan")
    first_S, second_S = (_ranks(score_S2[:, column]) for column in (0, 1))
    first_S -= first_S.mean()
    second_S -= second_S.mean()
    size = float(np.linalg.norm(first_S) * np.linalg.norm(second_S))
    return float(first_S @ second_S) / size if size > 0 else float("nan")


def _ranks(value_S: FloatArray) -> TimeArray:
    _, group_S, n_G = np.unique(value_S, return_inverse=True, return_counts=True)
    mean_G = np.cumsum(n_G) - (n_G - 1) / 2
    return np.asarray(mean_G[group_S], dtype=np.float64)
