"""A histogram for whole arrays."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

SCORE_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2, 4, 10)


class ArrayHistogram(Collector):
    """A histogram that takes a whole batch at once: one NumPy call, not one per reading."""

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._upper_bounds = np.array([*buckets, np.inf])
        self._counts = np.zeros(len(self._upper_bounds), dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: npt.NDArray[np.float32]) -> None:
        """Count every value of a one-dimensional array."""
        bucket = np.searchsorted(self._upper_bounds, values, side="left")
        # A new array, not `+=`: the metrics page is read from another thread.
        self._counts = self._counts + np.bincount(bucket, minlength=len(self._counts))
        self._sum += float(values.sum(dtype=np.float64))

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The metric as Prometheus wants it: cumulative counts by upper bound."""
        cumulative = np.cumsum(self._counts).tolist()
        bounds = [*(str(float(b)) for b in self._upper_bounds[:-1]), "+Inf"]
        yield HistogramMetricFamily(
            self._name,
            self._documentation,
            buckets=list(zip(bounds, cumulative, strict=True)),
            sum_value=self._sum,
        )
