"""From where a unit's readings must be read again to rebuild its state."""

import numpy as np
import numpy.typing as npt

from pipeline.records import NOWHERE, IntArray
from pipeline.trail import extended, n_to_add
from pipeline.window import Arrived


class Reach:
    """Owns, of each unit, an offset from which on it has sent at least `n_readings`.

    What is kept of a unit is a function of its last readings, so many of them. Keeping all
    their offsets would double the memory: of two marks the older one is given out, and each
    time `n_readings` have come since the newer one, that takes its place. So up to twice as
    many are read again, and of a large poll all.
    """

    def __init__(self, n_readings: int) -> None:
        self._n_readings = n_readings
        self._offset_U: IntArray = np.empty(0, dtype=np.int64)
        self._newer_U: IntArray = np.empty(0, dtype=np.int64)
        self._n_since_U: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)

    @property
    def offset_U(self) -> IntArray:  # noqa: N802 - a shape suffix, as everywhere
        """By row. `NOWHERE` where no unit is."""
        return self._offset_U

    def extend(self, arrived: Arrived, n_rows: int) -> None:
        """Take note of one poll's readings.

        Args:
            arrived: those that went into windows.
            n_rows: rows given out so far.
        """
        n_new = n_to_add(len(self._n_since_U), n_rows)
        if n_new:
            self._offset_U = extended(self._offset_U, n_new, NOWHERE)
            self._newer_U = extended(self._newer_U, n_new, NOWHERE)
            self._n_since_U = extended(self._n_since_U, n_new, 0)
        row_G, first_G = arrived.row_G, arrived.first_offset_G
        is_new_G = self._offset_U[row_G] == NOWHERE
        self._offset_U[row_G[is_new_G]] = first_G[is_new_G]
        is_due_G = ~is_new_G & (self._n_since_U[row_G] >= self._n_readings)
        self._offset_U[row_G[is_due_G]] = self._newer_U[row_G[is_due_G]]
        begins_G = is_new_G | is_due_G
        self._newer_U[row_G[begins_G]] = first_G[begins_G]
        self._n_since_U[row_G[begins_G]] = 0
        self._n_since_U[row_G] += arrived.n_G.astype(np.int32)

    def forget(self, rows: IntArray) -> None:
        """Clear these rows."""
        rows = rows[rows < len(self._n_since_U)]
        self._offset_U[rows] = NOWHERE
        self._n_since_U[rows] = 0
