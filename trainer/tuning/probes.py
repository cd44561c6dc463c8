"""Which held-out readings settings are judged on, and the faults that are put into them.

Chosen once for a search, from the history and a seed: the same for all settings tried.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.faults import MAX_SPIKE, Fault, faulty
from trainer.history import History
from trainer.split import Folds

PROBED = ("spike", "shift", "drift", "stuck", "noise")
"""The kinds of faults that settings are judged by: a missing value is no finding."""
N_PROBES = 200
"""As many of each kind of fault."""
N_LEAD = 32
"""Readings that scores of several readings need before those that count."""
N_JUDGED = 96
MIN_JUDGED = 12
SIZES = (1.0, 4.0)
"""Of faults, in standard deviations of the sensor's readings in the unit."""


class Probe(NamedTuple):
    """A stretch of held-out readings with one fault."""

    unit: int
    begin: int
    """Index of its first reading in the history."""
    fault: Fault
    """Counted from `begin`."""
    size: float
    """In the sensor's own unit."""
    seed: int
    """Of its noise."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What every setting of a search is judged on without labels."""

    sensors: tuple[str, ...]
    """What the faults' sensors count."""
    length: int
    """Readings in each probe."""
    n_lead: int
    """Readings of each that are not judged."""
    probes: tuple[Probe, ...]

    def labels(self, probe: Probe) -> BoolArray:
        """Which of its readings are in the fault, shape (length,)."""
        label_N = np.zeros(self.length, dtype=np.bool_)
        label_N[probe.fault.begin : probe.fault.begin + probe.fault.length] = True
        return label_N

    def inject(self, probe: Probe, before: int, values_MF: FloatArray, column: int) -> None:
        """Put a probe's fault into readings, in place.

        Args:
            probe: which.
            before: readings that stand before the probe's first.
            values_MF: in the sensors' own units.
            column: of the fault's sensor.
        """
        fault = probe.fault
        begin = before + fault.begin
        held = _last_value(values_MF[:begin, column])
        part = values_MF[begin : begin + fault.length, column]
        random = np.random.default_rng(probe.seed)
        part[:] = faulty(part, fault, 0, held, probe.size, random)


def runs_of_rows(folds: Folds, n_before: int) -> IntArray:
    """Held-out readings that follow one another, with the windows before them.

    Args:
        folds: of a history.
        n_before: readings of the series that must stand before each.

    Returns:
        Unit, first and last row (not included) of each run, shape (n, 3).
    """
    found = []
    for fold in folds.folds:
        held = fold.held_out
        first = np.flatnonzero(np.diff(held.series_B, prepend=-1))
        behind = np.append(first[1:], len(held.series_B))
        row_B = held.windows.start_B
        for a, b in zip(first.tolist(), behind.tolist(), strict=True):
            begin = int(row_B[a]) + n_before
            end = int(row_B[b - 1]) + held.windows.length
            if end > begin:
                found.append((int(held.unit_B[a]), begin, end))
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def choose_probes(
    history: History, runs: IntArray, is_scored_F: BoolArray, seed: int
) -> Probes:
    """Choose stretches and their faults.

    Args:
        history: of the sensors that may have faults, and others.
        runs: see `runs_of_rows`; the longest has at least `MIN_JUDGED` rows.
        is_scored_F: the sensors that may have faults, if they move in the unit.
        seed: the same seed chooses the same.
    """
    random = np.random.default_rng([seed, 0x7A9E])
    longest = int((runs[:, 2] - runs[:, 1]).max())
    length = min(N_LEAD + N_JUDGED, longest)
    n_lead = min(N_LEAD, length // 4)
    runs = runs[runs[:, 2] - runs[:, 1] >= length]
    # Any stretch is as likely as any other.
    n_starts = np.cumsum(runs[:, 2] - runs[:, 1] - length + 1)
    probes = []
    for number in range(N_PROBES):
        place = int(random.integers(n_starts[-1]))
        run = int(np.searchsorted(n_starts, place, side="right"))
        unit, _, end = runs[run].tolist()
        begin = end - length - (int(n_starts[run]) - 1 - place)
        deviation_F = _deviations(history, unit)
        moves = np.flatnonzero(is_scored_F & (deviation_F > 0))
        kind, seed_of_noise = PROBED[number % len(PROBED)], int(random.integers(2**31))
        sensor = int(random.choice(moves)) if len(moves) else 0
        n_judged = length - n_lead
        n_faulty = (
            int(random.integers(1, MAX_SPIKE + 1))
            if kind == "spike"
            else int(random.integers(max(n_judged // 6, 1), n_judged // 2 + 1))
        )
        first = int(random.integers(n_lead, length - n_faulty + 1))
        size = float(np.exp(random.uniform(*np.log(SIZES)))) * float(deviation_F[sensor])
        fault = Fault(kind, sensor, first, n_faulty, float(random.choice([-1.0, 1.0])))
        probes.append(Probe(unit, begin, fault, size, seed_of_noise))
    return Probes(history.sensors, length, n_lead, tuple(probes))


def _deviations(history: History, unit: int) -> FloatArray:
    rows = slice(*history.begin_U[unit : unit + 2].tolist())
    values_NF = history.values_NF[rows][~history.label_N[rows]].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean_F = np.nanmean(values_NF, axis=0)
        variance_F = np.nanmean(np.square(values_NF - mean_F), axis=0)
    return np.asarray(np.nan_to_num(np.sqrt(variance_F), nan=0.0, posinf=0.0))


def _last_value(x_M: FloatArray) -> float:
    """The last that is there; 0 if none is."""
    there = np.flatnonzero(~np.isnan(x_M))
    return float(x_M[there[-1]]) if len(there) else 0.0
