"""A detector that knows what its readings were like, and turns of readings to hold
against it."""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from pipeline.detector.artifact import LoadedDetector, save
from pipeline.detector.detector import Detector
from pipeline.drift.drift import SHOW_EVERY_S, Drift
from pipeline.drift.score_bins import score_counts
from pipeline.incident import Decisions
from pipeline.metrics import WorkerMetrics
from pipeline.records import FloatArray, Records, Scores
from pipeline.settings import DriftSettings
from pipeline.turn import Stretch, Taken, Turn
from pipeline.units import Units
from pipeline.window import LiveWindows, SlidingWindows
from tests import builders
from trainer.usual import usual_readings

WINDOW = 8
N_LEARNED = 4_000


def calibration_scores(n: int, seed: int = 0) -> FloatArray:
    """Scores as calibration might have found them."""
    return np.random.default_rng(seed).gamma(4.0, 0.1, size=n).astype(np.float32)


def knowing_detector(
    folder: Path,
    values_NF: FloatArray,
    built: Detector | None = None,
    unit: str = "pump-7",
) -> LoadedDetector:
    """An untrained detector whose manifest tells of these readings of one unit."""
    built = built or builders.detector(window=WINDOW)
    known = builders.manifest(built)
    usual = usual_readings(
        values_NF,
        built.scaling.scaled(values_NF, built.scaling.line(unit)),
        np.zeros(len(values_NF), dtype=np.int64),
        np.arange(len(values_NF), dtype=np.float64),
        np.ones(len(values_NF), dtype=np.bool_),
    )
    manifest = msgspec.structs.replace(
        known,
        training=msgspec.structs.replace(known.training, usual=usual),
        threshold=msgspec.structs.replace(
            known.threshold,
            score_counts=score_counts(calibration_scores(10_000)).tolist(),
            expected_false_alarms_per_unit_day=0.25,
        ),
    )
    return save(
        folder, built, builders.GOLDEN_NF, builders.windows_of(values_NF[:100]), manifest
    )


class Watch:
    """A drift of one detector, with the page it shows itself on."""

    def __init__(
        self, loaded: LoadedDetector, settings: DriftSettings | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.digest = loaded.digest
        self.drift = Drift(loaded, self.metrics, settings or DriftSettings())
        self._windows = SlidingWindows(loaded.detector.window, len(loaded.detector.sensors))
        self._units = Units(1_000)
        self.now_s = 0.0

    def extend(
        self,
        values_NF: FloatArray,
        units: Sequence[str] | None = None,
        score_B: FloatArray | None = None,
        is_replay: bool = False,
    ) -> None:
        """Read these, each time a day later, and show what there is."""
        readings = builders.readings(units or ["pump-7"] * len(values_NF), None, values_NF)
        readings.time_s_N[:] += 86_400.0 * self.now_s / (2 * SHOW_EVERY_S)
        records = Records([], {}, is_replay)
        readings, row_N, _ = self._units.admit(readings, records)
        (windows,) = self._windows.extend(readings, row_N, self._units.n_rows)
        if score_B is None:
            score_B = calibration_scores(len(windows), seed=int(self.now_s))
        decisions = Decisions([], np.zeros(len(windows), dtype=np.bool_))
        turn = Turn(
            Taken(0.0, records, readings, []),
            readings,
            [],
            [
                Stretch(
                    windows,
                    _scores(windows, score_B),
                    decisions,
                )
            ],
        )
        self.drift.observe(turn, self.now_s)
        self.drift.show(self.now_s + SHOW_EVERY_S)
        self.now_s += 2 * SHOW_EVERY_S

    def shown(self, name: str, **labels: str) -> float:
        """The value of a series of this detector; NaN where there is none."""
        value = self.registry.get_sample_value(
            f"pipeline_{name}", {"digest": self.digest, **labels}
        )
        return math.nan if value is None else value

    def of_sensors(self, name: str) -> list[float]:
        """What is shown of each of the detector's sensors."""
        return [self.shown(f"sensor_{name}", sensor=s) for s in builders.SENSORS]

    def drifting(self) -> dict[str, float]:
        names = ("psi", "out_of_range", "missing", "stuck")
        return {by: self.shown("sensors_drifting", by=by) for by in names}


def _scores(windows: LiveWindows, score_B: FloatArray) -> Scores:
    nothing_BF = np.zeros((len(windows), 0), dtype=np.float32)
    return Scores(score_B[: len(windows)], nothing_BF, nothing_BF, nothing_BF, nothing_BF)
