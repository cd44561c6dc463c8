"""Readings as a plant would send them, and topics full of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from trainer.history import History

SENSORS = tuple(f"s{number}" for number in range(8))
N_UNITS = 100
N_PARTITIONS = 4
BEGIN_S = 1.7e9
STEP_S = 0.25
"""From one reading of a unit to its next."""
HISTORY_STEPS = 600
FAULT = 50.0
"""Added to a sensor whose usual deviation is 1."""

Values = npt.NDArray[np.float64]


def unit_name(unit: int) -> str:
    """`unit-007`: with time and eight values a record is about 150 bytes long."""
    return f"unit-{unit:03d}"


def series(n_steps: int, n_units: int = N_UNITS, seed: int = 0) -> Values:
    """Eight sensors that follow two common waves, each with noise of its own.

    Returns:
        Shape (n_steps, n_units, F), with three decimals.
    """
    random = np.random.default_rng(seed)
    step_T11 = np.arange(n_steps)[:, None, None] + 1_000.0 * seed
    unit_U1 = 1.7 * np.arange(n_units)[:, None]
    phase_F = np.arange(len(SENSORS))
    fast = np.sin(step_T11 / 5 + phase_F + unit_U1)
    slow = 0.5 * np.sin(step_T11 / 13 - phase_F + unit_U1)
    noise = 0.1 * random.normal(size=(n_steps, n_units, len(SENSORS)))
    return np.asarray(np.round(12.0 + fast + slow + noise, 3))


def history() -> History:
    """Normal readings of the same plant, to train on."""
    n_units = 20
    values_UTF = series(HISTORY_STEPS, n_units, seed=1).transpose(1, 0, 2)
    n_rows = n_units * HISTORY_STEPS
    return History(
        sensors=SENSORS,
        units=tuple(map(unit_name, range(n_units))),
        time_s_N=np.tile(BEGIN_S - 1e6 + STEP_S * np.arange(HISTORY_STEPS), n_units),
        values_NF=values_UTF.reshape(n_rows, -1).astype(np.float32),
        label_N=np.zeros(n_rows, dtype=np.bool_),
        begin_U=HISTORY_STEPS * np.arange(n_units + 1),
        notes=[],
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One record to write to a topic."""

    partition: int
    key: bytes
    value: bytes


def items(values_TUF: Values, n_per_record: int = 1) -> Iterator[Item]:
    """Records of these readings, units in turn, each unit in one partition.

    Args:
        values_TUF: as of `series`.
        n_per_record: consecutive readings of a unit in one record, as an array; 1 writes
            an object. Must divide the number of steps.
    """
    encode = msgspec.json.Encoder().encode
    keys = [unit_name(unit) for unit in range(values_TUF.shape[1])]
    for begin in range(0, len(values_TUF), n_per_record):
        of_units = values_TUF[begin : begin + n_per_record].transpose(1, 0, 2).tolist()
        for unit, (key, rows) in enumerate(zip(keys, of_units, strict=True)):
            readings = [
                {
                    "unit": key,
                    "time": BEGIN_S + STEP_S * (begin + step),
                    "values": dict(zip(SENSORS, row, strict=True)),
                }
                for step, row in enumerate(rows)
            ]
            value = encode(readings if n_per_record > 1 else readings[0])
            yield Item(unit % N_PARTITIONS, key.encode(), value)


def with_faults(values_TUF: Values, begin: int, every: int, length: int) -> Values:
    """These readings with a fault in each unit now and then, the units out of step.

    Args:
        values_TUF: as of `series`; left as they are.
        begin: the step from which on there are faults.
        every: steps from one fault of a unit to its next.
        length: steps that a fault lasts.
    """
    faulty_TUF = values_TUF.copy()
    n_steps, n_units, _ = values_TUF.shape
    step_T1 = np.arange(n_steps)[:, None] - begin
    lead_U = np.arange(n_units) * every // n_units
    since_TU = step_T1 - lead_U
    is_faulty_TU = (since_TU >= 0) & (since_TU % every < length)
    faulty_TUF[..., 0] += FAULT * is_faulty_TU
    return faulty_TUF
