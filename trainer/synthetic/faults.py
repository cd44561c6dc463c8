"""Faults of named kinds, put into synthetic readings as they come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray
from trainer.faults import KINDS, MAX_SPIKE, Fault, faulty

DEFAULT_SHARE = 0.01


class FaultSpec(NamedTuple):
    """Faults of one kind that are wanted."""

    kind: str
    """One of `KINDS`."""
    sensor: int | None
    """Which sensor has them; None: another one each time."""
    share: float
    """Of a unit's readings, or of the windows, in such a fault; > 0, <= 0.5."""


def parse_fault(text: str, sensors: Sequence[str]) -> FaultSpec:
    """`KIND`, `KIND:SENSOR`, `KIND@SHARE` or `KIND:SENSOR@SHARE` as it is written.

    Raises:
        InputError: no such kind or sensor, or a share that is none.
    """
    kind, colon, sensor = text.partition(":")
    share = ""
    # A sensor's name may have an at sign in it.
    if colon and sensor not in sensors:
        sensor, _, share = sensor.rpartition("@") if "@" in sensor else (sensor, "", "")
    elif not colon:
        kind, _, share = kind.partition("@")
    if kind not in KINDS:
        raise InputError(f"--fault {text}: expected one of {', '.join(KINDS)}")
    if colon and sensor not in sensors:
        raise InputError(
            f"--fault {text}: the detector has no sensor {sensor!r}, it has "
            f"{', '.join(sensors[:10])}{' and more' if len(sensors) > 10 else ''}"
        )
    return FaultSpec(
        kind, list(sensors).index(sensor) if colon else None, _share(text, share)
    )


def _share(text: str, share: str) -> float:
    try:
        value = float(share) if share else DEFAULT_SHARE
    except ValueError:
        value = float("nan")
    if not 0 < value <= 0.5:
        raise InputError(f"--fault {text}: expected a share above 0 and up to 0.5")
    return value


@dataclass(slots=True)
class _Running:
    """A unit's fault of one kind, running or next."""

    fault: Fault
    random: np.random.Generator
    held: float = 0.0


class Faults:
    """Puts faults into units' readings as they come, piece by piece.

    Owns, for each unit, its running and next fault of each kind that is wanted. The time
    from one to the next is exponential.
    """

    def __init__(
        self,
        specs: Sequence[FaultSpec],
        n_sensors: int,
        size: float,
        length: int,
        seed: int,
    ) -> None:
        """Say what is wanted.

        Args:
            specs: kinds, where, how often.
            n_sensors: F.
            size: see `faulty`.
            length: readings in a fault; of spikes one to three.
            seed: of when, where and which way.
        """
        self._specs, self._n_sensors = tuple(specs), n_sensors
        self._size, self._length = size, length
        self._seed = seed
        self._random = np.random.default_rng(seed)
        self._running: list[list[_Running]] = []
        self._last_UF: FloatArray | None = None
        self._n_before = 0

    def inject(self, x_UNF: FloatArray) -> BoolArray:
        """Change the units' next readings in place, and say which were changed.

        Args:
            x_UNF: N readings of each of U units, the same units each time; scaled.

        Returns:
            Shape (U, N).
        """
        n_units, n_readings, _ = x_UNF.shape
        label_UN = np.zeros((n_units, n_readings), dtype=np.bool_)
        if not self._running:
            self._running = [
                self._begun(number, n_units) for number in range(self._n_specs)
            ]
        last_UF = x_UNF[:, 0] if self._last_UF is None else self._last_UF
        true_UNF = np.concatenate([last_UF[:, None], x_UNF], axis=1)
        for spec, running_U in zip(self._specs, self._running, strict=True):
            for unit, running in enumerate(running_U):
                while running.fault.begin < self._n_before + n_readings:
                    self._put_in(running, true_UNF[unit], x_UNF[unit], label_UN[unit])
                    fault = running.fault
                    if fault.begin + fault.length > self._n_before + n_readings:
                        break
                    after = fault.begin + fault.length
                    running.fault = self._next(spec, after, running.random)
        self._last_UF = true_UNF[:, -1]
        self._n_before += n_readings
        return label_UN

    def inject_windows(self, x_BTF: FloatArray) -> BoolArray:
        """Change windows in place, each by itself. A share of them gets a fault inside.

        Returns:
            Which readings were changed, shape (B, T).
        """
        n_windows, length, _ = x_BTF.shape
        label_BT = np.zeros((n_windows, length), dtype=np.bool_)
        for spec in self._specs:
            is_chosen_B = self._random.uniform(size=n_windows) < spec.share
            for row in np.flatnonzero(is_chosen_B & ~label_BT.any(axis=1)).tolist():
                n_long = min(self._n_long(spec, self._random), max(length // 2, 1))
                begin = int(self._random.integers(length - n_long + 1))
                fault = self._fault(spec, begin, n_long, self._random)
                x_T = x_BTF[row, :, fault.sensor]
                held, part = float(x_T[max(begin - 1, 0)]), slice(begin, begin + n_long)
                x_T[part] = faulty(x_T[part], fault, 0, held, self._size, self._random)
                label_BT[row, part] = True
        return label_BT

    def _put_in(
        self, running: _Running, true_NF: FloatArray, x_NF: FloatArray, label_N: BoolArray
    ) -> None:
        """Change the part of these readings that is in the fault.

        `true_NF` begins with one more, the one before them, and has no faults. Where a
        reading is in another fault already, that one has it.
        """
        fault = running.fault
        first = max(fault.begin - self._n_before, 0)
        part = slice(first, min(fault.begin + fault.length - self._n_before, len(x_NF)))
        at = first + self._n_before - fault.begin
        if at == 0:
            running.held = float(true_NF[first, fault.sensor])
        x_M = true_NF[1:][part, fault.sensor]
        changed_M = faulty(x_M, fault, at, running.held, self._size, running.random)
        is_free_M = ~label_N[part]
        x_NF[part, fault.sensor] = np.where(is_free_M, changed_M, x_NF[part, fault.sensor])
        label_N[part] = True

    @property
    def _n_specs(self) -> int:
        return len(self._specs)

    def _begun(self, number: int, n_units: int) -> list[_Running]:
        # With random numbers of their own: in which pieces readings come does not matter.
        begun = []
        for unit in range(n_units):
            random = np.random.default_rng([self._seed, number, unit])
            begun.append(_Running(self._next(self._specs[number], 0, random), random))
        return begun

    def _next(self, spec: FaultSpec, after: int, random: np.random.Generator) -> Fault:
        typical = (1 + MAX_SPIKE) / 2 if spec.kind == "spike" else self._length
        wait = random.exponential(typical * (1 - spec.share) / spec.share)
        begin = after + 1 + int(wait)
        return self._fault(spec, begin, self._n_long(spec, random), random)

    def _n_long(self, spec: FaultSpec, random: np.random.Generator) -> int:
        if spec.kind == "spike":
            return int(random.integers(1, MAX_SPIKE + 1))
        return self._length

    def _fault(
        self, spec: FaultSpec, begin: int, length: int, random: np.random.Generator
    ) -> Fault:
        sensor = spec.sensor
        if sensor is None:
            sensor = int(random.integers(self._n_sensors))
        return Fault(spec.kind, sensor, begin, length, float(random.choice([-1.0, 1.0])))
