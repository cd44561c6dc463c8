"""A seeded stream of readings with known faults, late readings and poison."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests import builders

N_UNITS = 50
N_SENSORS = 3
FIRST_TIME_S = 1_750_000_000.0
STEP_S = 1.0
"""Of event time, from one reading of a unit to its next."""
SHARE_POISON = 0.005
SHARE_LATE = 0.01
SHARE_IN_ARRAYS = 0.05
FAULT_EVERY = 400
"""Readings of a unit, on average."""
HISTORY = 4_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One record, and what it is."""

    key: bytes
    value: bytes
    n_readings: int
    is_poison: bool = False
    is_late: bool = False


def normal_series(n_readings: int, seed: int) -> np.ndarray:
    """Readings (N, F) of one unit without a fault."""
    chance = np.random.default_rng(seed)
    t_N = np.arange(n_readings)
    waves_NF = np.stack(
        [np.sin(t_N / (7 + 5 * f) + seed) for f in range(N_SENSORS)], axis=1
    )
    return waves_NF + 0.1 * chance.standard_normal(waves_NF.shape)


class Stream:
    """Owns where each unit is in its series, and what is wrong with it at present."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._n_sent = [0] * N_UNITS
        self._series = [normal_series(HISTORY, 1_000 * seed + u) for u in range(N_UNITS)]
        self._fault_left = [0] * N_UNITS
        self._fault = [(0, 0.0)] * N_UNITS
        self.n_faults = 0

    def records(self) -> Iterator[Sent]:
        """Without end: units take turns, now and then several readings in a row."""
        chance = self._chance
        while True:
            unit = chance.randrange(N_UNITS)
            if chance.random() < SHARE_POISON:
                yield self._poison(unit)
            elif chance.random() < SHARE_LATE and self._n_sent[unit]:
                # Now and then as many in a row as fill a window.
                for _ in range(chance.choice([*([1] * 20), 40])):
                    time_s = self._time_s(unit) - chance.uniform(1.5, 60.0) * STEP_S
                    value = self._json(unit, time_s, [9e3] * N_SENSORS)
                    yield Sent(_key(unit), value, 1, is_late=True)
            elif chance.random() < SHARE_IN_ARRAYS:
                n = chance.randint(2, 20)
                parts = [self._next(unit) for _ in range(n)]
                yield Sent(_key(unit), b"[" + b",".join(parts) + b"]", n)
            else:
                yield Sent(_key(unit), self._next(unit), 1)

    def _next(self, unit: int) -> bytes:
        chance = self._chance
        if self._fault_left[unit] == 0 and chance.random() < 1 / FAULT_EVERY:
            # Some are short, some last to the end of most runs; some are barely seen.
            self._fault_left[unit] = chance.choice([6, 20, 60, 300, 3_000])
            size = chance.choice([0.5, 1.0, 3.0, 10.0]) * chance.choice([-1, 1])
            self._fault[unit] = (chance.randrange(N_SENSORS), size)
            self.n_faults += 1
        index = self._n_sent[unit]
        values_F = self._series[unit][index % HISTORY].copy()
        if self._fault_left[unit]:
            self._fault_left[unit] -= 1
            sensor, size = self._fault[unit]
            values_F[sensor] += size
        self._n_sent[unit] += 1
        return self._json(unit, self._time_s(unit), values_F.tolist())

    def _time_s(self, unit: int) -> float:
        return FIRST_TIME_S + self._n_sent[unit] * STEP_S

    def _json(self, unit: int, time_s: float, values: list[float]) -> bytes:
        named = {
            name: round(value, 4)
            for name, value in zip(builders.SENSORS, values, strict=True)
            if self._chance.random() > 0.01
        }
        return builders.reading_json(f"pump-{unit}", time_s, named)

    def _poison(self, unit: int) -> Sent:
        good = builders.reading_json(f"pump-{unit}", self._time_s(unit), {"pressure": 1.0})
        value = self._chance.choice(
            [
                b"",
                b"\xff\xfe not json",
                good[:-3],
                b"[" * 5_000,
                b'{"unit": 7}',
                builders.reading_json(f"pump-{unit}", "yesterday", {"pressure": 1.0}),
                builders.reading_json(f"pump-{unit}", 1e18, {"pressure": 1.0}),
                builders.reading_json("u" * 300, self._time_s(unit), {"pressure": 1.0}),
                b"[" + good + b', {"unit": "pump-1"}]',
            ]
        )
        return Sent(_key(unit), value, 0, is_poison=True)


def _key(unit: int) -> bytes:
    return f"pump-{unit}".encode()
