"""Sums of residuals, and of their losses, over the time scales of statistics."""

import numpy as np

from pipeline.records import FloatArray, IntArray

HUBER_KNEE = 3.0
"""In normal standard deviations. Beyond it a residual counts in proportion, not squared:
rare, far outliers are part of what many sensors do."""


def huber(z: FloatArray) -> FloatArray:
    """The Huber loss of standardised residuals, >= 0."""
    # In place: fresh memory costs more than the sums.
    size = np.abs(z)
    clipped = np.minimum(size, np.float32(HUBER_KNEE))
    size -= np.float32(0.5) * clipped
    size *= clipped
    return np.asarray(size)


class TrailingSums:
    """Sums of each row and those before it, over ever longer spans.

    By doubling: so that a sum is the same to the last bit wherever in an array its row
    stands, and each span begins with the one before it.
    """

    def __init__(self, x_MF: FloatArray) -> None:
        self._x_MF = x_MF
        self._span, self._sums_MF = 1, x_MF
        self._spare_MF: FloatArray | None = None

    def mean(self, span: int, at: IntArray | slice) -> FloatArray:
        """The mean of these rows and the `span` - 1 rows before each, shape (B, F).

        Of the first `span` - 1 rows it is of no meaning.

        Raises:
            ValueError: `span` is not a power of two.
        """
        if span < 1 or span & (span - 1):
            raise ValueError(f"a span is a power of two, got {span}")
        if span < self._span:
            self._span, self._sums_MF, self._spare_MF = 1, self._x_MF, None
        while self._span < span:
            n, sums_MF = self._span, self._sums_MF
            spare_MF = self._spare_MF
            doubled_MF = np.empty_like(sums_MF) if spare_MF is None else spare_MF
            doubled_MF[:n] = sums_MF[:n]
            np.add(sums_MF[n:], sums_MF[:-n], out=doubled_MF[n:])
            self._spare_MF = None if n == 1 else sums_MF
            self._span, self._sums_MF = 2 * n, doubled_MF
        # In one order of memory, on which the last bit of a sum over sensors depends.
        return np.ascontiguousarray(self._sums_MF[at]) / np.float32(span)


class NewestSums:
    """What `TrailingSums` says of each unit's last row, where all have as many rows.

    The same sums, but only those that the last rows need: of 32 rows 31 additions, not 160.
    """

    def __init__(self, x_BV: FloatArray, n_each: int) -> None:
        """Add up.

        Args:
            x_BV: each unit's rows as one, in the order of `by_halves`.
            n_each: rows of each.
        """
        self._n_sensors = x_BV.shape[1] // n_each
        self._sums = {1: x_BV}
        for span in (2**k for k in range(1, n_each.bit_length())):
            half = x_BV.shape[1] // 2
            x_BV = x_BV[:, :half] + x_BV[:, half:]
            self._sums[span] = x_BV

    def mean(self, span: int, at: IntArray | slice) -> FloatArray:
        """See `TrailingSums.mean`; of the last rows, wherever they are."""
        newest_BF = self._sums[span][:, : self._n_sensors]
        return np.ascontiguousarray(newest_BF) / np.float32(span)


def by_halves(n_each: int) -> IntArray:
    """An order of rows, the newest first, in which to double a span is to add the second
    half of the sums to the first. `n_each` is a power of two."""
    age = np.zeros(1, dtype=np.int64)
    while len(age) < n_each:
        age = np.concatenate([2 * age, 2 * age + 1])
    return n_each - 1 - age


class Residuals:
    """Residuals of units, one unit after the other, and what statistics of one poll share
    of the work on them."""

    def __init__(self, residual_MF: FloatArray, n_each: int | None = None) -> None:
        """Start with nothing added up.

        Args:
            residual_MF: each unit's rows in order.
            n_each: rows of each unit, a power of two, where all have as many and the last
                alone is asked for.
        """
        self._n_each = n_each
        self._residual = residual_MF
        if n_each is not None:
            n_units, n_sensors = len(residual_MF) // n_each, residual_MF.shape[1]
            units_BTF = residual_MF.reshape(n_units, n_each, n_sensors)
            # By `take`: indexing by brackets takes five times as long.
            ordered_BTF = np.take(units_BTF, by_halves(n_each), axis=1)
            # As one row: numpy is slow over a short last axis.
            self._residual = ordered_BTF.reshape(n_units, n_each * n_sensors)
        self.sums = self._summed(self._residual)
        self._losses: dict[bytes, TrailingSums | NewestSums] = {}

    def losses(self, scale_F: FloatArray) -> TrailingSums | NewestSums:
        """Of the Huber losses on this scale, which is mostly one for all bursts."""
        key = scale_F.tobytes()
        if key not in self._losses:
            scale = np.tile(scale_F, self._n_each or 1)
            self._losses[key] = self._summed(huber(self._residual / scale))
        return self._losses[key]

    def _summed(self, x: FloatArray) -> TrailingSums | NewestSums:
        return TrailingSums(x) if self._n_each is None else NewestSums(x, self._n_each)
