"""From where a unit's readings must be read again to rebuild its state."""

import numpy as np
import numpy.typing as npt

from pipeline.records import NOWHERE, IntArray
from pipeline.trail import extended, n_to_add
from pipeline.window import Arrived

UNSEEN = -1
"""The count of a row from which nothing has come."""


class Reach:
    """Owns, of each unit, an offset from which on it has sent at least `n_readings`.

    What is kept of a unit is a function of its last readings, so many of them. Keeping all
    their offsets would double the memory: of two marks the older one is given out, and each
    time `n_readings` have come since the newer one, that takes its place. So up to twice as
    many are read again, and of a large poll all.
    """

    def __init__(self, n_readings: int) -> None:
        self.n_readings = n_readings
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
            self._n_since_U = extended(self._n_since_U, n_new, UNSEEN)
        # Most have neither come for the first time nor had enough: of these one array
        # alone is looked up, which with many units is what takes the time.
        row_G, first_G = arrived.row_G, arrived.first_offset_G
        n_since_G = self._n_since_U[row_G]
        begins_G = (n_since_G == UNSEEN) | (n_since_G >= self.n_readings)
        if begins_G.any():
            row_K, first_K = row_G[begins_G], first_G[begins_G]
            is_new_K = n_since_G[begins_G] == UNSEEN
            self._offset_U[row_K] = np.where(is_new_K, first_K, self._newer_U[row_K])
            self._newer_U[row_K] = first_K
            n_since_G[begins_G] = 0
        self._n_since_U[row_G] = n_since_G + arrived.n_G

    def go_on(self, n_readings: int) -> None:
        """From now on that many readings are needed: those from the older marks on, where
        they were enough so far, and all that come."""
        self.n_readings = n_readings
        seen_U = self._n_since_U != UNSEEN
        self._newer_U[seen_U] = self._offset_U[seen_U]
        self._n_since_U[seen_U] = 0

    def forget(self, rows: IntArray) -> None:
        """Clear these rows."""
        rows = rows[rows < len(self._n_since_U)]
        self._offset_U[rows] = NOWHERE
        self._n_since_U[rows] = UNSEEN
