"""What was drawn as rows of units: readings in the sensors' own units, with labels."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.detector.scaling import POOLED, Scaling
from pipeline.records import BoolArray, FloatArray, IntArray
from trainer.synthetic.draws import Draws
from trainer.synthetic.faults import Faults
from trainer.synthetic.series import Quilt

MAX_TOGETHER = 2**26
"""Values in the windows of units whose series are drawn side by side: 256 MiB."""


class Rows(NamedTuple):
    """N consecutive rows."""

    units: list[str]
    unit_N: IntArray
    """Index into `units`."""
    step_N: IntArray
    """Steps since its unit's beginning."""
    values_NF: FloatArray
    """In the sensors' own units, NaN where missing."""
    label_N: BoolArray
    """Whether a fault was put in."""

    def head(self, n_rows: int) -> "Rows":
        """The first rows."""
        part = slice(n_rows)
        return Rows(
            self.units,
            self.unit_N[part],
            self.step_N[part],
            self.values_NF[part],
            self.label_N[part],
        )


def window_rows(
    draws: Draws, scaling: Scaling, n_windows: int, faults: Faults
) -> Iterator[Rows]:
    """Windows drawn independently, each a unit: `window-1`, row by row, then `window-2`.

    Args:
        draws: what they are drawn by.
        scaling: the detector's. Where units have scalers of their own, windows take theirs
            in turn.
        n_windows: how many.
        faults: what is put in.
    """
    for begin in range(0, n_windows, draws.n_at_once):
        n = min(draws.n_at_once, n_windows - begin)
        x_BTF = draws.windows(n)
        label_BT = faults.inject_windows(x_BTF)
        length, n_sensors = x_BTF.shape[1:]
        line_N = np.repeat(_lines(scaling, begin + np.arange(n)), length)
        yield Rows(
            [f"window-{begin + i + 1}" for i in range(n)],
            np.repeat(np.arange(n), length),
            np.tile(np.arange(length), n),
            scaling.unscaled(x_BTF.reshape(-1, n_sensors), line_N),
            label_BT.ravel(),
        )


def series_rows(
    quilt: Quilt, scaling: Scaling, n_units: int, n_rows: int, faults: Faults
) -> Iterator[Rows]:
    """Units' series side by side, a row each, then their next.

    They are called `unit-1` to `unit-U`, or, where trained units have scalers of their own,
    as these are, so that the detector knows how to scale them.

    Args:
        quilt: of these units.
        scaling: see `window_rows`.
        n_units: U.
        n_rows: of all units together.
        faults: what is put in.
    """
    units = _names(scaling, n_units)
    line_U = _lines(scaling, np.arange(n_units))
    n_done = 0
    for x_UNF in quilt.pieces():
        label_UN = faults.inject(x_UNF)
        n_steps, n_sensors = x_UNF.shape[1:]
        rows = Rows(
            units,
            np.tile(np.arange(n_units), n_steps),
            np.repeat(n_done // n_units + np.arange(n_steps), n_units),
            scaling.unscaled(
                x_UNF.transpose(1, 0, 2).reshape(-1, n_sensors), np.tile(line_U, n_steps)
            ),
            label_UN.T.ravel(),
        )
        rows = rows.head(n_rows - n_done)
        yield rows
        n_done += len(rows.unit_N)
        if n_done >= n_rows:
            return


def _lines(scaling: Scaling, unit_N: IntArray) -> IntArray:
    """The scalers of trained units in turn; the pooled one where they have none."""
    n_units = len(scaling.units)
    if not n_units:
        return np.full(len(unit_N), POOLED, dtype=np.int64)
    return 1 + unit_N % n_units


def _names(scaling: Scaling, n_units: int) -> list[str]:
    n_trained = len(scaling.units)
    if not n_trained:
        return [f"unit-{unit + 1}" for unit in range(n_units)]
    rounds = [divmod(unit, n_trained) for unit in range(n_units)]
    return [scaling.units[u] + (f"-{n + 1}" if n else "") for n, u in rounds]
