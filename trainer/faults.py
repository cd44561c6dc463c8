"""Faults of a sensor, put into readings that had none. Pure functions."""

from typing import NamedTuple

import numpy as np

from pipeline.records import FloatArray

KINDS = ("spike", "drift", "stuck", "shift", "dropout", "noise")
MAX_SPIKE = 3
"""Readings in a spike, at most."""


class Fault(NamedTuple):
    """One fault of one sensor."""

    kind: str
    """One of `KINDS`."""
    sensor: int
    begin: int
    """Its first reading's number."""
    length: int
    """In readings."""
    sign: float
    """1 or -1."""


def faulty(
    x_M: FloatArray,
    fault: Fault,
    at: int,
    held: float,
    size: float,
    random: np.random.Generator,
) -> FloatArray:
    """Readings of a sensor as its fault has them.

    Args:
        x_M: consecutive readings, all within the fault; NaN where missing.
        fault: which.
        at: how many of the fault's readings come before these.
        held: the sensor's last reading before the fault.
        size: in the readings' own units.
        random: for noise.

    Returns:
        Shape (M,). A spike or shift lies `size` off; a drift gets there at its end; noise
        has that standard deviation; a stuck sensor stands at `held`; one that drops out
        has no value. What was missing stays missing.
    """
    if fault.kind in ("spike", "shift"):
        return np.asarray(x_M + np.float32(fault.sign * size))
    if fault.kind == "drift":
        way_M = (at + 1 + np.arange(len(x_M), dtype=np.float32)) / fault.length
        return np.asarray(x_M + np.float32(fault.sign * size) * way_M)
    if fault.kind == "noise":
        noise_M = random.normal(size=len(x_M)).astype(np.float32)
        return np.asarray(x_M + np.float32(size) * noise_M)
    stands_at = np.float32(held if fault.kind == "stuck" else np.nan)
    return np.where(np.isnan(x_M), x_M, stands_at)
