"""Two detectors that differ in sensors and window, and readings on which they disagree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.compare.run import Asked
from pipeline.detector.artifact import save
from pipeline.detector.detector import Detector
from pipeline.detector.families import build_network
from pipeline.detector.network import NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.records import FloatArray, Message
from tests import builders

BEGAN_S = 1_700_000_000.0
N_READINGS = 300
UNITS = ("pump-1", "pump-2", "pump-3")
# By unit: sensor, from, to, how far. Only A knows the sensor of the first, both know that
# of the others.
FAULTS = {
    "pump-1": [(1, 150, 180, 100.0)],
    "pump-2": [(2, 150, 180, 100.0), (2, 230, 240, 100.0)],
}
KNOWN_TO_B = [0, 2]
WINDOW_A, WINDOW_B = 8, 6


def wide_detector(folder: Path) -> Path:
    """Knows all sensors."""
    detector = builders.quiet_detector(N_READINGS, WINDOW_A)
    save(
        folder,
        detector,
        builders.GOLDEN_NF,
        builders.REFERENCE_BTF,
        builders.manifest(detector, "wide"),
    )
    return folder


def narrow_detector(folder: Path) -> Path:
    """Knows two of the sensors, and looks back less."""
    torch.manual_seed(1)
    series_NF = builders.sensor_series(N_READINGS)[:, KNOWN_TO_B]
    n_sensors = len(KNOWN_TO_B)
    shape = NetworkShape(WINDOW_B, n_sensors, hidden=16, latent=4, n_members=2)

    def detector(threshold: float) -> Detector:
        return Detector(
            tuple(builders.SENSORS[f] for f in KNOWN_TO_B),
            (network,),
            Scaling(Scaler.fit(series_NF)),
            builders.residual_scoring(n_sensors=n_sensors),
            threshold,
        )

    network = build_network("ae", shape).eval()
    quiet = detector(float(1.5 * detector(1.0).score_series(series_NF).score_B.max()))
    save(
        folder,
        quiet,
        builders.GOLDEN_NF[:, KNOWN_TO_B],
        builders.REFERENCE_BTF[:, :WINDOW_B, KNOWN_TO_B],
        builders.manifest(quiet, "narrow"),
    )
    return folder


def series(unit: str, n_readings: int = N_READINGS) -> FloatArray:
    values_NF = builders.sensor_series(n_readings).copy()
    for sensor, begin, end, how_far in FAULTS.get(unit, []):
        values_NF[begin:end, sensor] += how_far
    return values_NF


def messages(topic: str, units: Sequence[str] = UNITS) -> list[Message]:
    """A reading of each unit every second; Kafka's times are those of the readings."""
    of_unit = {unit: series(unit).tolist() for unit in units}
    return [
        Message(
            topic,
            builders.reading_json(
                unit,
                BEGAN_S + i,
                dict(zip(builders.SENSORS, of_unit[unit][i], strict=True)),
            ),
            unit.encode(),
            timestamp_ms=round((BEGAN_S + i) * 1000),
        )
        for i in range(N_READINGS)
        for unit in units
    ]


def table(path: Path, units: Sequence[str] = UNITS, labelled: bool = False) -> Path:
    """The same as a file."""
    n_units, n_sensors = len(units), len(builders.SENSORS)
    values_NF = np.stack([series(unit) for unit in units], axis=1).reshape(-1, n_sensors)
    columns: dict[str, object] = {
        "time": np.repeat(BEGAN_S + np.arange(N_READINGS), n_units),
        "unit": list(units) * N_READINGS,
        **dict(zip(builders.SENSORS, values_NF.T, strict=True)),
    }
    if labelled:
        label_NU = np.zeros((N_READINGS, n_units), dtype=np.int64)
        for number, unit in enumerate(units):
            for _, begin, end, _ in FAULTS.get(unit, []):
                label_NU[begin:end, number] = 1
        columns["label"] = label_NU.ravel()
    pq.write_table(pa.table(columns), path)
    return path


def asked(a: Path, b: Path, data: Path | None = None, **others: object) -> Asked:
    fields: dict[str, object] = {
        "begin": None,
        "end": None,
        "limit": None,
        "labels": None,
        "page": None,
        **others,
    }
    return Asked(a, b, data, **fields)  # type: ignore[arg-type]
