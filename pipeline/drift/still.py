"""How long each sensor of each unit has shown one value."""

import numpy as np
import numpy.typing as npt

from pipeline.records import BoolArray, IntArray
from pipeline.trail import extended, n_to_add
from pipeline.window import LiveWindows

LONGEST = int(np.iinfo(np.uint16).max)
"""No longer run is told from this one."""
MIN_STUCK = 10
"""Readings in a row that are not yet worth a word, however lively training was."""


def stuck_limits(longest_F: IntArray) -> IntArray:
    """Runs above which a sensor is stuck: twice the longest of training, if that can be
    told.

    Args:
        longest_F: readings in a row, at most, that repeated the one before them.
    """
    return np.maximum(2 * longest_F, MIN_STUCK)


class StillRuns:
    """Owns, per unit and sensor, how many readings in a row repeated the one before.

    A missing value repeats nothing. 2 bytes each.
    """

    def __init__(self, n_sensors: int) -> None:
        self._run_UF = np.zeros((0, n_sensors), dtype=np.uint16)

    @staticmethod
    def bytes_per_unit(n_sensors: int) -> int:
        """Memory that one unit takes."""
        return 2 * n_sensors

    def extend(self, windows: LiveWindows) -> None:
        """Append the readings of one poll that went into windows, also of a replay."""
        arrived = windows.arrived
        if not len(arrived.reading_N):
            return
        n_new = n_to_add(len(self._run_UF), int(arrived.row_G[-1]) + 1)
        if n_new:
            self._run_UF = extended(self._run_UF, n_new, 0)
        before_GF = np.take(self._run_UF, arrived.row_G, axis=0)
        self._run_UF[arrived.row_G] = _runs(_repeats(windows), arrived.n_G, before_GF)

    def of(self, row_B: IntArray) -> npt.NDArray[np.uint16]:
        """The runs of these units as of their newest readings, shape (B, F)."""
        return self._run_UF[row_B]


def _repeats(windows: LiveWindows) -> BoolArray:
    """Which values are those of their unit's reading before, shape (N, F)."""
    arrived, flat_MF = windows.arrived, windows.windows.flat_MF
    n_kept = windows.windows.length - 1
    if len(arrived.n_G) == len(arrived.reading_N) and n_kept:
        # Of many units each sends one reading: without indices it is twice as fast.
        rows_GTF = flat_MF.reshape(len(arrived.n_G), n_kept + 1, -1)
        repeats_NF: BoolArray = np.equal(rows_GTF[:, -1], rows_GTF[:, -2])
        repeats_NF[np.isnan(arrived.step_s_N)] = False
        return repeats_NF
    group_N = np.repeat(np.arange(len(arrived.n_G)), arrived.n_G)
    # Before each unit's readings of this poll stand those that were kept of it.
    position_N = np.arange(len(group_N)) + n_kept * (group_N + 1)
    # Of the very first there is none before it, nor of any first one where none is kept.
    before_N = np.maximum(position_N - 1, 0)
    repeats_NF = np.equal(
        np.take(flat_MF, position_N, axis=0), np.take(flat_MF, before_N, axis=0)
    )
    repeats_NF[np.isnan(arrived.step_s_N)] = False
    if n_kept == 0:
        repeats_NF[np.cumsum(arrived.n_G) - arrived.n_G] = False
    return repeats_NF


def _runs(
    repeats_NF: BoolArray, n_G: IntArray, before_GF: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint16]:
    """The run at the end of each unit's readings, from that before them; shape (G, F)."""
    if len(n_G) == len(repeats_NF):
        return (np.minimum(before_GF, LONGEST - 1) + np.uint16(1)) * repeats_NF
    first_G = np.cumsum(n_G) - n_G
    # Of each reading its number within its unit's, from 1.
    number_N = (np.arange(len(repeats_NF)) - np.repeat(first_G - 1, n_G)).astype(np.int32)
    moved_NF = np.where(repeats_NF, np.int32(0), number_N[:, None])
    last_moved_GF = np.maximum.reduceat(moved_NF, first_G, axis=0)
    run_GF = n_G[:, None].astype(np.int32) - last_moved_GF
    run_GF += np.where(last_moved_GF == 0, before_GF, 0)
    return np.minimum(run_GF, LONGEST).astype(np.uint16)
