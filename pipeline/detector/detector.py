"""The detector: raw windows in, normalised scores and their explanation out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.detector.rows import N_ROWS, padded
from pipeline.detector.scaling import POOLED, Scaling
from pipeline.detector.scoring import PART_VALUES, Scoring, Surprise
from pipeline.records import FloatArray, IntArray, Scores, group_starts
from pipeline.trail import Trails
from pipeline.window import Windows, cut_windows

MAX_VALUES_PER_LAUNCH = {"cpu": 2**19, "cuda": 2**24}
"""Values (windows x T x F x members) in one forward pass. On a CPU, 2 MiB: what fits the
caches runs up to twice as fast. On a GPU 64 MiB, so that memory stays bounded: convolutions
take some seven times as much on the way."""


class Measures(NamedTuple):
    """What a detector's networks say of windows, each alone, before scores are made."""

    measure_BC: FloatArray
    observed_BF: FloatArray
    """The newest readings, NaN where missing."""
    expected_BF: FloatArray
    """The same as the networks reconstruct them, in the sensors' own units."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Trained networks, the scaling before them, the scoring and the threshold after."""

    sensors: tuple[str, ...]
    networks: tuple[Network, ...]
    """One of each family in it."""
    scaling: Scaling
    scoring: Scoring
    threshold: float
    """In what `scoring` gives; scores are multiples of it."""

    @property
    def window(self) -> int:
        """T, readings in a window."""
        return self.networks[0].shape.window

    def to(self, device: torch.device | str) -> None:
        """Move the networks."""
        for network in self.networks:
            network.to(device)

    def memory(self) -> Trails:
        """An empty memory of what scores need of the windows before."""
        nothing = Windows(
            np.empty((0, len(self.sensors)), np.float32), np.empty(0, np.int64), self.window
        )
        n_columns = self.measure(nothing).measure_BC.shape[1]
        return Trails(self.scoring.n_memory, np.empty((0, n_columns), dtype=np.float32))

    def measure(self, windows: Windows, line_B: IntArray | None = None) -> Measures:
        """Run the networks over windows of raw readings, in launches of bounded size.

        Args:
            windows: of readings in the sensors' own units, NaN where missing. Those of one
                unit together.
            line_B: of each window's unit, see `Scaling.line`. None: all are pooled.

        Raises:
            ValueError: the windows are not of this detector's shape.
        """
        shape = (windows.length, windows.flat_MF.shape[1])
        if shape != (self.window, len(self.sensors)):
            raise ValueError(
                f"windows are {shape} but the detector takes "
                f"{(self.window, len(self.sensors))}"
            )
        measure_BC, expected_BF = self.over_windows(
            windows, line_B, lambda x, seen: self.scoring.measure(self.networks, x, seen)
        )
        return Measures(
            measure_BC=measure_BC,
            observed_BF=windows.flat_MF[windows.start_B + self.window - 1],
            expected_BF=self.scaling.unscaled(
                expected_BF, POOLED if line_B is None else line_B
            ),
        )

    def over_windows(
        self,
        windows: Windows,
        line_B: IntArray | None,
        run: Callable[[Tensor, Tensor | None], Sequence[Tensor]],
    ) -> list[FloatArray]:
        """What `run` makes of scaled windows, in launches of bounded size.

        Args:
            windows: see `measure`.
            line_B: see `measure`.
            run: takes windows x_BTF without a gap, and which of their values were measured
                (None: all); gives tensors with a row for each.
        """
        n_members = sum(network.shape.n_members for network in self.networks)
        n_values = MAX_VALUES_PER_LAUNCH[self.device.type]
        n_at_once = n_values // (n_members * self.window * len(self.sensors))
        n_at_once = max(n_at_once // N_ROWS, 1) * N_ROWS
        launches = [
            self._launched(
                _part(windows, part), None if line_B is None else line_B[part], run
            )
            for begin in range(0, max(len(windows), 1), n_at_once)
            for part in [slice(begin, begin + n_at_once)]
        ]
        return [
            np.concatenate(column) if len(launches) > 1 else column[0]
            for column in zip(*launches, strict=True)
        ]

    def _launched(
        self,
        windows: Windows,
        line_B: IntArray | None,
        run: Callable[[Tensor, Tensor | None], Sequence[Tensor]],
    ) -> list[FloatArray]:
        # Each reading once, not once for every window that it is in.
        line_M = POOLED if line_B is None else _line_of_readings(windows, line_B)
        scaled_MF = self.scaling.scaled(windows.flat_MF, line_M)
        with torch.inference_mode():
            x = _gathered(scaled_MF, windows).to(self.device)
            is_whole = not np.isnan(scaled_MF).any()
            x, observed = (x, None) if is_whole else filled(x)
            results = run(x, observed)
        return [result[: len(windows)].cpu().numpy() for result in results]

    def score(
        self, measures: Measures, row_B: IntArray, n_rows: int, memory: Trails
    ) -> Scores:
        """Make scores of windows' measures and those of their units before them.

        Args:
            measures: of B windows.
            row_B: each window's unit; those of one unit together, in order.
            n_rows: units there may be.
            memory: what came before, from `memory()`; carried on.
        """
        n_flat = len(row_B) + self.scoring.n_memory * len(group_starts(row_B))
        n_values = n_flat * measures.measure_BC.shape[1]
        n_parts = max(1, min(n_values // PART_VALUES, len(row_B)))
        parts = []
        for part in np.array_split(np.arange(len(row_B)), n_parts):
            (flat_MC,), position_B, n_before_B = memory.extend(
                row_B[part], n_rows, measures.measure_BC[part]
            )
            parts.append(self.scoring.surprise(flat_MC, position_B, n_before_B))
        surprise = Surprise(*map(np.concatenate, zip(*parts, strict=True)))
        return Scores(
            score_B=surprise.score_B / np.float32(self.threshold),
            contribution_BF=surprise.share_BF,
            observed_BF=measures.observed_BF,
            expected_BF=measures.expected_BF,
            latent_BL=np.empty((len(row_B), 0), dtype=np.float32),
        )

    def score_series(self, values_NF: FloatArray) -> Scores:
        """Score every window of one unit's series, by the pooled scaling.

        Without a past before it.
        """
        windows = cut_windows(values_NF, self.window)
        row_B = np.zeros(len(windows), dtype=np.int64)
        return self.score(self.measure(windows), row_B, 1, self.memory())

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.networks[0].parameters()).device


def _part(windows: Windows, part: slice) -> Windows:
    """Some of the windows, with their readings alone."""
    start_B = windows.start_B[part]
    first = int(start_B.min(initial=len(windows.flat_MF)))
    behind = int(start_B.max(initial=0)) + windows.length
    return Windows(windows.flat_MF[first:behind], start_B - first, windows.length)


def _gathered(scaled_MF: FloatArray, windows: Windows) -> Tensor:
    """The windows over these readings and, see `padded`, some more, shape (B, T, F)."""
    n_readings, n_sensors = scaled_MF.shape
    # Each window is one run of memory, T x F values that begin F after the one before.
    sizes = (max(n_readings - windows.length + 1, 0), windows.length * n_sensors)
    flat_MF = torch.from_numpy(np.ascontiguousarray(scaled_MF))
    windows_WV = flat_MF.as_strided(sizes, (n_sensors, 1))
    # Indexing by brackets takes six times as long.
    x_BV = windows_WV.index_select(0, padded(torch.from_numpy(windows.start_B)))
    return x_BV.view(-1, windows.length, n_sensors)


def _line_of_readings(windows: Windows, line_B: IntArray) -> IntArray:
    """The line of each reading's unit. Of readings in no window any, shape (M,)."""
    first_G = group_starts(line_B)
    lines = np.concatenate([[POOLED], line_B[first_G]])
    reading_M = np.arange(len(windows.flat_MF))
    return np.asarray(
        lines[np.searchsorted(windows.start_B[first_G], reading_M, side="right")]
    )


def as_float32(values: list[float]) -> FloatArray:
    """A manifest's list of numbers, as an array. What a float32 cannot hold is infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)
