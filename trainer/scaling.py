"""Whether units share one scaler or have each its own, chosen from their readings."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.detector.manifest_parts import MAX_UNITS
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.records import BoolArray, FloatArray, IntArray, group_starts

Values = npt.NDArray[np.float64]

N_BLOCKS = 4
"""Stretches of each unit, each foretold by the others."""
MIN_GAIN = 0.05
"""Nats a value. Units that are alike should share a scaler: it is known better, and holds
for units yet to come."""
MAX_GAIN = 3.0
"""Nats a value, of one stretch: a few that moved far must not decide for all."""
MIN_OWN_SHARE = 0.1
"""A unit's own scale is at least this share of the usual one: a pump that stood by all
through the history may start one day."""
MAX_NAMES_BYTES = 8 * 2**20
"""Of all units' names together: they stand in the manifest."""


class Choice(NamedTuple):
    """The scaling, and what it was chosen by."""

    scaling: Scaling
    gain: float
    """By how much units' own scalers foretell held-out readings better, nats a value."""


def choose_scaling(
    values_NF: FloatArray,
    unit_N: IntArray,
    units: tuple[str, ...],
    is_scored_F: BoolArray,
    asked: Literal["auto", "pooled", "per-unit"] = "auto",
) -> Choice:
    """Give units their own scalers if those foretell their readings better.

    Each stretch of a unit is foretold by a normal distribution: of the unit's other
    stretches, or of all other readings. The mean log-likelihood decides, for all units and
    sensors together. Sensors that are not scored, such as flags, are always pooled: what
    they say is the same of every unit.

    Args:
        values_NF: readings in the sensors' own units, NaN where missing; those of one unit
            together and in the order of time.
        unit_N: their units.
        units: the names of all units.
        is_scored_F: the sensors that scores are made of.
        asked: `auto` chooses as said above.
    """
    pooled = Scaler.fit(values_NF)
    first_G = group_starts(unit_N)
    n_names_bytes = sum(len(unit.encode()) for unit in units)
    if not 1 < len(first_G) <= MAX_UNITS or n_names_bytes > MAX_NAMES_BYTES:
        return Choice(Scaling(pooled), 0.0)
    block_N = _blocks(first_G, len(unit_N))
    mean_UF = np.repeat(pooled.mean_F[None], len(first_G), axis=0)
    scale_UF = np.repeat(pooled.scale_F[None], len(first_G), axis=0)
    gains = []
    for sensor in np.flatnonzero(is_scored_F & ~pooled.is_constant_F).tolist():
        mean, scale = float(pooled.mean_F[sensor]), float(pooled.scale_F[sensor])
        z_N = (values_NF[:, sensor].astype(np.float64) - mean) / scale
        sums = _Sums.of(z_N, block_N, len(first_G))
        usual = sums.usual_scale()
        if usual <= np.finfo(np.float32).eps:
            continue
        gains.append(_gain(sums, MIN_OWN_SHARE * usual))
        own_mean_U, own_scale_U = _moments(sums.of_units(), MIN_OWN_SHARE * usual)
        has_values_U = sums.of_units().n > 0
        mean_UF[has_values_U, sensor] = (mean + scale * own_mean_U)[has_values_U]
        scale_UF[has_values_U, sensor] = (scale * own_scale_U)[has_values_U]
    gain = float(np.mean(gains)) if gains else 0.0
    is_pooled = gain < MIN_GAIN if asked == "auto" else asked == "pooled"
    if is_pooled or not gains:
        return Choice(Scaling(pooled), gain)
    names = [units[number] for number in unit_N[first_G].tolist()]
    return Choice(Scaling(pooled, names, mean_UF, scale_UF), gain)


class _Sums(NamedTuple):
    """Numbers, sums and sums of squares of one sensor's values, shape (U, N_BLOCKS)."""

    n: Values
    first: Values
    second: Values

    @classmethod
    def of(cls, z_N: Values, block_N: IntArray, n_units: int) -> "_Sums":
        is_there_N = ~np.isnan(z_N)
        z_N = np.nan_to_num(z_N)
        return cls(
            *(
                np.bincount(block_N, power_N, n_units * N_BLOCKS)
                .reshape(n_units, N_BLOCKS)
                .astype(np.float64)
                for power_N in (is_there_N, z_N, np.square(z_N))
            )
        )

    def of_units(self) -> "_Sums":
        """Over each unit's stretches, shape (U,)."""
        return _Sums(*(part.sum(axis=1) for part in self))

    def others_of_unit(self) -> "_Sums":
        """Of the unit's other stretches."""
        return _Sums(*(part.sum(axis=1, keepdims=True) - part for part in self))

    def others_of_all(self) -> "_Sums":
        """Of all other stretches of all units."""
        return _Sums(*(part.sum() - part for part in self))

    def usual_scale(self) -> float:
        """The standard deviation within units, over all of them."""
        n, first, second = self.of_units()
        within = second - np.square(first) / np.maximum(n, 1.0)
        return float(np.sqrt(max(within.sum(), 0.0) / max(n.sum(), 1.0)))


def _moments(sums: _Sums, least: float) -> tuple[Values, Values]:
    """Mean and standard deviation, the latter not below `least`."""
    n = np.maximum(sums.n, 1.0)
    mean = sums.first / n
    variance = np.maximum(sums.second / n - np.square(mean), 0.0)
    return mean, np.maximum(np.sqrt(variance), least)


def _gain(sums: _Sums, least: float) -> float:
    own, all_units = sums.others_of_unit(), sums.others_of_all()
    is_told = (sums.n > 0) & (own.n > 0)
    if not is_told.any():
        return 0.0
    gain = _loss(sums, *_moments(all_units, least)) - _loss(sums, *_moments(own, least))
    return float(np.clip(gain[is_told], -MAX_GAIN, MAX_GAIN).mean())


def _loss(sums: _Sums, mean: Values, scale: Values) -> Values:
    """Mean negative log-likelihood of each stretch's values, less a constant."""
    n = np.maximum(sums.n, 1.0)
    square = sums.second / n - 2.0 * mean * sums.first / n + np.square(mean)
    return np.asarray(np.log(scale) + 0.5 * square / np.square(scale))


def _blocks(first_G: IntArray, n_readings: int) -> IntArray:
    """Each reading's stretch: those of the g-th unit are numbered from g x N_BLOCKS."""
    size_G = np.diff(first_G, append=n_readings)
    group_N = np.repeat(np.arange(len(first_G)), size_G)
    rank_N = np.arange(n_readings) - first_G[group_N]
    return np.asarray(group_N * N_BLOCKS + rank_N * N_BLOCKS // size_G[group_N])
