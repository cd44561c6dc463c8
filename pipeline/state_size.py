"""How much memory units' state takes in a worker."""

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.still import StillRuns
from pipeline.window import SlidingWindows


def bytes_per_unit(loaded: LoadedDetector) -> int:
    """Of its windows, its last residuals, and what is known of sensors that stand still."""
    detector = loaded.detector
    n_bytes = SlidingWindows.bytes_per_unit(detector.window, len(detector.sensors))
    n_bytes += detector.memory().bytes_per_unit
    if loaded.manifest.training.usual is not None:
        n_bytes += StillRuns.bytes_per_unit(len(detector.sensors))
    return n_bytes


def n_affordable(loaded: LoadedDetector, max_bytes: int) -> int:
    """How many units' state fits into so much memory, at least one."""
    return max(1, max_bytes // bytes_per_unit(loaded))
