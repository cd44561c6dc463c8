"""Reconstructions of a stream's rows: the mean over all windows that hold a row."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from pipeline.detector.detector import Detector
from pipeline.detector.filling import with_silent_sensors
from pipeline.detector.rows import mean_of
from pipeline.detector.scaling import POOLED
from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray, group_starts
from pipeline.trail import extended, n_to_add
from pipeline.window import Windows
from trainer.denoise.smoothing import REACH, Around

MAX_STATE_BYTES = 2 * 2**30
"""For the rows of all units that are not finished yet."""
MAX_FLAT_VALUES = 2**23
"""Values that are worked on at a time, of some units or of some windows."""


class Rows(NamedTuple):
    """N rows on their way, each with where it came from."""

    row_N: IntArray
    """Of the file."""
    time_s_N: TimeArray
    label_N: BoolArray
    values_NF: FloatArray
    """In the sensors' own units, NaN where missing."""


class Finished(NamedTuple):
    """E rows that no further window will hold, among M rows of their units around them."""

    rows: Rows
    """The E rows."""
    unit_E: IntArray
    line_E: IntArray | None
    """Of each row's unit, see `Scaling.line`."""
    at_E: IntArray
    """Where each stands among the M."""
    first_E: IntArray
    last_E: IntArray
    """From where to where rows of its unit stand whose reconstructions are finished too."""
    x_MF: FloatArray
    """The rows, scaled; NaN where missing."""
    expected_MF: FloatArray
    """Their reconstructions, scaled. NaN in units shorter than a window."""

    @property
    def is_reconstructed_E(self) -> BoolArray:  # noqa: N802 - a shape suffix, as everywhere
        """Which of the rows some window holds."""
        return np.asarray(~np.isnan(self.expected_MF[self.at_E, 0]))

    @property
    def around(self) -> Around:
        """The residuals around the rows."""
        residual_MF = self.x_MF - self.expected_MF
        return Around(residual_MF, self.at_E, self.first_E, self.last_E)


class Overlap:
    """Owns each unit's newest rows: those that further windows will hold, and before them
    the rows that these are smoothed with."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._length = detector.window
        self._n_open = self._length - 1 + REACH
        self._n_kept = self._n_open + REACH
        n_kept, n_sensors = self._n_kept, len(detector.sensors)
        self._n_kept_U = np.empty(0, dtype=np.int64)
        self._rows = Rows(
            np.zeros((0, n_kept), dtype=np.int64),
            np.zeros((0, n_kept), dtype=np.float64),
            np.zeros((0, n_kept), dtype=np.bool_),
            np.zeros((0, n_kept, n_sensors), dtype=np.float32),
        )
        self._sums = np.zeros((0, n_kept, n_sensors), dtype=np.float32)
        self._n_windows = np.zeros((0, n_kept), dtype=np.float32)

    @property
    def bytes_per_unit(self) -> int:
        """Memory that one unit takes."""
        n_sensors = self._sums.shape[2]
        return self._n_kept * (8 * n_sensors + 8 + 8 + 1 + 4) + 8

    def extend(
        self, rows: Rows, unit_N: IntArray, line_U: IntArray | None, n_units: int
    ) -> Iterator[Finished]:
        """Append rows, and yield those that are finished by them: one for each, the last
        one that is `REACH` rows behind every window to come, once there is one.

        Args:
            rows: those of one unit together and in order.
            unit_N: each row's unit.
            line_U: each unit's, see `Scaling.line`; None where all are scaled alike.
            n_units: units so far.

        Raises:
            InputError: the units are too many to remember.
        """
        self._grow(n_units)
        first_G = group_starts(unit_N)
        # Units are independent of each other: some at a time.
        size_G = np.diff(first_G, append=len(unit_N)) + self._n_kept
        n_at_once = max(MAX_FLAT_VALUES // len(self._detector.sensors), 1)
        part_G = np.cumsum(size_G) // n_at_once
        for group in group_starts(part_G).tolist():
            last = np.searchsorted(part_G, part_G[group], side="right")
            end = first_G[last] if last < len(first_G) else len(unit_N)
            part = slice(first_G[group], end)
            yield self._extend(_taken(rows, part), unit_N[part], line_U)

    def _extend(self, rows: Rows, unit_N: IntArray, line_U: IntArray | None) -> Finished:
        n_kept, length = self._n_kept, self._length
        first_G = group_starts(unit_N)
        unit_G = unit_N[first_G]
        size_G = np.diff(first_G, append=len(unit_N))
        group_N = np.repeat(np.arange(len(first_G)), size_G)
        rank_N = np.arange(len(unit_N)) - first_G[group_N]
        begin_G = first_G + n_kept * np.arange(len(first_G))
        position_N = begin_G[group_N] + n_kept + rank_N
        n_before_N = self._n_kept_U[unit_G][group_N] + rank_N
        kept_GK = begin_G[:, None] + np.arange(n_kept)
        tail_GK = kept_GK + size_G[:, None]

        def flat(kept_UK: np.ndarray, new_N: np.ndarray) -> np.ndarray:
            flat_M = np.empty((len(unit_N) + kept_GK.size, *new_N.shape[1:]), new_N.dtype)
            flat_M[kept_GK], flat_M[position_N] = kept_UK[unit_G], new_N
            kept_UK[unit_G] = flat_M[tail_GK]
            return flat_M

        flats = Rows._make(map(flat, self._rows, rows))
        line_M = POOLED if line_U is None else np.repeat(line_U[unit_G], size_G + n_kept)
        sums_MF = np.zeros_like(flats.values_NF)
        n_windows_M = np.zeros(len(sums_MF), dtype=np.float32)
        sums_MF[kept_GK], n_windows_M[kept_GK] = self._sums[unit_G], self._n_windows[unit_G]
        is_full_N = n_before_N >= length - 1
        start_B = position_N[is_full_N] - (length - 1)
        line_B = None if line_U is None else line_U[unit_N[is_full_N]]
        self._add(flats.values_NF, start_B, line_B, sums_MF, n_windows_M)
        self._sums[unit_G], self._n_windows[unit_G] = sums_MF[tail_GK], n_windows_M[tail_GK]
        self._n_kept_U[unit_G] = np.minimum(self._n_kept_U[unit_G] + size_G, n_kept)

        is_last_N = n_before_N >= self._n_open
        at_E = position_N[is_last_N] - self._n_open
        return Finished(
            _taken(flats, at_E),
            unit_N[is_last_N],
            None if line_U is None else line_U[unit_N[is_last_N]],
            at_E,
            (position_N - n_before_N)[is_last_N],
            at_E + REACH,
            self._detector.scaling.scaled(flats.values_NF, line_M),
            _mean(sums_MF, n_windows_M),
        )

    def finish(self, line_U: IntArray | None) -> Iterator[Finished]:
        """Yield the rows that were waiting for more of their units. To be called last."""
        n_sensors = len(self._detector.sensors)
        n_at_once = max(MAX_FLAT_VALUES // (self._n_kept * n_sensors), 1)
        rank_K = np.arange(self._n_kept)
        for begin in range(0, len(self._n_kept_U), n_at_once):
            part = slice(begin, begin + n_at_once)
            n_kept_U = self._n_kept_U[part]
            first_U = self._n_kept - n_kept_U
            is_open_UK = rank_K >= np.maximum(first_U, self._n_kept - self._n_open)[:, None]
            unit_E, rank_E = np.nonzero(is_open_UK)
            at_E, base_E = unit_E * self._n_kept + rank_E, unit_E * self._n_kept
            flats = Rows._make(
                kept[part].reshape(-1, *kept.shape[2:]) for kept in self._rows
            )
            line_M: IntArray | int = POOLED
            if line_U is not None:
                # Arrays grow ahead of the units.
                lines_U = np.pad(line_U[part], (0, len(n_kept_U) - len(line_U[part])))
                line_M = np.repeat(lines_U, self._n_kept)
            yield Finished(
                _taken(flats, at_E),
                begin + unit_E,
                None if line_U is None else line_U[begin + unit_E],
                at_E,
                base_E + first_U[unit_E],
                base_E + self._n_kept - 1,
                self._detector.scaling.scaled(flats.values_NF, line_M),
                _mean(
                    self._sums[part].reshape(-1, n_sensors), self._n_windows[part].ravel()
                ),
            )

    def _add(
        self,
        values_MF: FloatArray,
        start_B: IntArray,
        line_B: IntArray | None,
        sums_MF: FloatArray,
        n_windows_M: FloatArray,
    ) -> None:
        """Add the windows' reconstructions to the rows that they hold."""
        n_at_once = max(MAX_FLAT_VALUES // (self._length * values_MF.shape[1]), 1)
        for begin in range(0, len(start_B), n_at_once):
            part = slice(begin, begin + n_at_once)
            windows = Windows(values_MF, start_B[part], self._length)
            lines = None if line_B is None else line_B[part]
            [x_BTF] = self._detector.over_windows(windows, lines, self._reconstructed)
            for step in range(self._length):
                sums_MF[start_B[part] + step] += x_BTF[:, step]
                n_windows_M[start_B[part] + step] += 1

    def _reconstructed(self, x_BTF: Tensor, observed_BTF: Tensor | None) -> list[Tensor]:
        networks = self._detector.networks
        if observed_BTF is not None:
            x_BTF = with_silent_sensors(networks, x_BTF, observed_BTF)
        means = [mean_of(network.reconstruct(x_BTF[None]).unbind()) for network in networks]
        return [mean_of(means)]

    def _grow(self, n_units: int) -> None:
        n_new = n_to_add(len(self._n_kept_U), n_units)
        if not n_new:
            return
        if n_units * self.bytes_per_unit > MAX_STATE_BYTES:
            raise InputError(
                f"more than {MAX_STATE_BYTES // self.bytes_per_unit:,} units: cut the file "
                "into some with fewer"
            )
        self._n_kept_U = extended(self._n_kept_U, n_new, 0)
        self._rows = Rows._make(extended(kept, n_new, 0) for kept in self._rows)
        self._sums = extended(self._sums, n_new, 0)
        self._n_windows = extended(self._n_windows, n_new, 0)


def _taken(rows: Rows, index: IntArray | slice) -> Rows:
    return Rows._make(column[index] for column in rows)


def _mean(sums_MF: FloatArray, n_windows_M: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray(sums_MF / n_windows_M[:, None])
