"""How networks' reconstructions become scores: what every way of scoring has in common."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from pipeline.detector.network import Network
from pipeline.records import FloatArray, IntArray

PART_VALUES = 2**18
"""Measures that are worked on at a time: 1 MiB stays in the caches, and is no memory that
the system has to hand over anew for each poll."""


class Measured(NamedTuple):
    """What networks say of windows, before it is put together over time."""

    measure_BC: Tensor
    """What each window adds to its unit's scores, and what is kept of it for the next."""
    expected_BF: Tensor
    """The newest row as the networks reconstruct it, in scaled units."""


class Surprise(NamedTuple):
    """How far windows are from normal."""

    score_B: FloatArray
    """1.0 is a level that about one normal window in a thousand exceeds. >= 0."""
    share_BF: FloatArray
    """Each sensor's share of what exceeds the usual level. A row adds up to 1, or is 0."""


class Scoring(Protocol):
    """A way of scoring: a function of one unit's last windows, and of nothing else."""

    @property
    def n_memory(self) -> int:
        """Measures of windows before the newest that a score depends on."""

    def measure(
        self, networks: Sequence[Network], x_BTF: Tensor, observed_BTF: Tensor | None
    ) -> Measured:
        """Run the networks over windows. A function of each window alone.

        Args:
            networks: the detector's, one a family.
            x_BTF: scaled windows.
            observed_BTF: 1.0 where measured, 0.0 where filled in; None if nothing is.
        """

    def surprise(
        self, flat_MC: FloatArray, position_B: IntArray, n_before_B: IntArray
    ) -> Surprise:
        """Score windows by their measures and those before them.

        Args:
            flat_MC: measures of units, one unit after the other, each in order.
            position_B: where each window's measure stands.
            n_before_B: measures of its unit that stand before it.
        """
