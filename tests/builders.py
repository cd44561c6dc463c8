"""Values that the tests need, with what does not matter to them filled in."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from pipeline.detector.artifact import LoadedDetector, save
from pipeline.detector.detector import Detector
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.manifest import SCHEMA, Manifest
from pipeline.detector.manifest_parts import (
    FilePart,
    IncidentPart,
    NetworkPart,
    ThresholdPart,
    TrainingPart,
)
from pipeline.detector.network import NetworkShape
from pipeline.detector.residual import Kind, ResidualScoring, Statistic
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.detector.scoring import Scoring
from pipeline.detector.signature import Feature, Signature
from pipeline.records import FloatArray, IntArray, Partition, Readings, Records
from pipeline.transport.memory_broker import MemoryRecord
from pipeline.window import Windows
from trainer.history import History
from trainer.manifest import scaler_part, score_part

SENSORS = ("pressure", "temperature", "vibration")


def record(
    value: bytes | None = b"{}",
    offset: int = 0,
    partition: int = 0,
    timestamp_ms: int = -1,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> MemoryRecord:
    return MemoryRecord("readings", partition, offset, timestamp_ms, key, value, headers)


def polled(*records: MemoryRecord) -> Records:
    """What one poll returned."""
    next_offsets = {Partition(r.topic, r.partition): r.offset + 1 for r in records}
    return Records(records, next_offsets)


def reading_json(
    unit: object = "pump-7",
    time: object = 1_700_000_000.0,
    values: object = None,
    **more: object,
) -> bytes:
    """A reading as its sender writes it; any part may be given wrongly."""
    fields = {"unit": unit, "time": time, "values": values or {}, **more}
    return json.dumps(fields).encode()


def readings(
    units: Sequence[str],
    time_s_N: Sequence[float] | None = None,
    values_NF: FloatArray | None = None,
    offset_N: Sequence[int] | None = None,
    partition_N: Sequence[int] | None = None,
    record_N: Sequence[int] | None = None,
    n_partitions: int = 1,
) -> Readings:
    """Decoded readings, each a record of its own, a second apart, counting up."""
    n = len(units)
    numbers = np.arange(n)
    if values_NF is None:
        values_NF = numbers[:, None].astype(np.float32)
    return Readings(
        units=list(units),
        time_s_N=np.array(numbers if time_s_N is None else time_s_N, dtype=np.float64),
        values_NF=values_NF,
        record_N=np.array(numbers if record_N is None else record_N, dtype=np.int64),
        offset_N=np.array(numbers if offset_N is None else offset_N, dtype=np.int64),
        partition_N=np.array(
            np.zeros(n) if partition_N is None else partition_N, dtype=np.int64
        ),
        partitions=tuple(Partition("readings", p) for p in range(n_partitions)),
    )


def sensor_series(
    n_readings: int, seed: int = 0, n_sensors: int = len(SENSORS)
) -> FloatArray:
    """Sensors that follow two common waves, each with noise, level and unit of its own."""
    random = np.random.default_rng(seed)
    step_N1 = np.arange(n_readings)[:, None] + 37.0 * seed
    phase_F = np.arange(n_sensors)
    waves_NF = np.sin(step_N1 / 5 + phase_F) + 0.5 * np.sin(step_N1 / 13 - phase_F)
    noise_NF = 0.05 * random.normal(size=(n_readings, n_sensors))
    unit_F = 10.0 ** (phase_F - 1)
    values_NF: FloatArray = ((waves_NF + noise_NF) * unit_F + 5 * unit_F).astype(np.float32)
    return values_NF


def history(
    values_NF: FloatArray,
    n_of_unit: Sequence[int] | None = None,
    labelled: Sequence[int] = (),
    step_s: float = 60.0,
) -> History:
    """History of units whose readings stand one after the other in `values_NF`."""
    n_of_unit = [len(values_NF)] if n_of_unit is None else n_of_unit
    label_N = np.zeros(len(values_NF), dtype=np.bool_)
    label_N[list(labelled)] = True
    return History(
        sensors=tuple(f"sensor-{f}" for f in range(values_NF.shape[1])),
        units=tuple(f"unit-{u}" for u in range(len(n_of_unit))),
        time_s_N=np.concatenate([np.arange(n) * step_s for n in n_of_unit]),
        values_NF=values_NF,
        label_N=label_N,
        begin_U=np.concatenate([[0], np.cumsum(n_of_unit)]).astype(np.int64),
        notes=[],
    )


def windows_of(values_NF: FloatArray, length: int = 8) -> FloatArray:
    """Every window of a series, shape (B, T, F)."""
    starts: IntArray = np.arange(len(values_NF) - length + 1)
    return np.stack([values_NF[start : start + length] for start in starts])


def as_windows(windows_BTF: FloatArray) -> Windows:
    """These windows, none of which shares a reading with another."""
    n_windows, length, n_sensors = windows_BTF.shape
    start_B = length * np.arange(n_windows)
    return Windows(windows_BTF.reshape(-1, n_sensors), start_B, length)


def residual_scoring(
    *statistics: tuple[Kind, int], n_sensors: int = len(SENSORS)
) -> ResidualScoring:
    """Scores by residuals as they are: trusted fully, of scale and limit 1."""
    ones_F = np.ones(n_sensors, dtype=np.float32)
    return ResidualScoring(
        trust_F=ones_F,
        is_scored_F=np.ones(n_sensors, dtype=np.bool_),
        statistics=tuple(
            Statistic(kind, span, ones_F, np.zeros_like(ones_F), 1.0)
            for kind, span in statistics or (("burst", 1),)
        ),
    )


def signature(
    feature: Feature, weight: float, scale_F: FloatArray, n_kinds: int = 1, span: int = 8
) -> Signature:
    """What some labelled events may have in common: any directions, each time the same."""
    random = np.random.default_rng(n_kinds)
    direction_KF = random.normal(size=(n_kinds, len(scale_F))).astype(np.float32)
    center_F = np.full_like(scale_F, 0.1)
    return Signature(feature, span, scale_F, center_F, direction_KF, 0.2, 1.5, weight)


def detector(
    families: str = "ae",
    window: int = 8,
    threshold: float = 0.5,
    seed: int = 0,
    scoring: Scoring | None = None,
) -> Detector:
    """An untrained detector of `SENSORS`: it scores, if not well.

    `families` are separated by a plus sign.
    """
    torch.manual_seed(seed)
    shape = NetworkShape(window, len(SENSORS), hidden=16, latent=4, n_members=2)
    return Detector(
        SENSORS,
        tuple(build_network(family, shape).eval() for family in families.split("+")),
        Scaling(Scaler.fit(sensor_series(500))),
        scoring or residual_scoring(),
        threshold,
    )


def quiet_detector(
    n_readings: int, window: int, seed: int = 0, *statistics: tuple[Kind, int]
) -> Detector:
    """Its threshold is above every score of that many readings of `sensor_series`."""
    scoring = residual_scoring(*statistics or (("burst", 1), ("shift", 4), ("burst", 8)))
    uncalibrated = detector(window=window, threshold=1.0, seed=seed, scoring=scoring)
    highest = float(uncalibrated.score_series(sensor_series(n_readings)).score_B.max())
    return replace(uncalibrated, threshold=1.5 * highest)


def manifest(detector: Detector, name: str = "pumps") -> Manifest:
    """What stands in the manifest of `detector`, less its files."""
    family_of = {network: family for family, network in FAMILIES.items()}
    families = [family_of[type(network)] for network in detector.networks]
    return Manifest(
        schema=SCHEMA,
        name=name,
        sensors=list(detector.sensors),
        networks=[
            NetworkPart(family, shape.window, shape.hidden, shape.latent, shape.n_members)
            for family, shape in zip(
                families, (network.shape for network in detector.networks), strict=True
            )
        ],
        scaler=scaler_part(detector.scaling, gain=0.0),
        score=score_part(detector.scoring),
        threshold=ThresholdPart(detector.threshold, "by hand", 1, 0, 1, 0, None, ""),
        incident=IncidentPart((3, 5), 10),
        training=TrainingPart(
            "1970-01-01T00:00:00Z",
            "1970-01-02T00:00:00Z",
            n_units=1,
            n_rows=500,
            data_digest="sha256:00",
            n_windows={"training": 1, "held out": 1},
            n_steps=1,
            losses=dict.fromkeys(families, 0.5),
            explained=0.5,
            seed=0,
            settings={"steps": 1},
            left_out=[],
        ),
        versions={"python": "3.11"},
        weights=FilePart("", ""),
        golden=FilePart("", ""),
        reference=FilePart("", ""),
    )


GOLDEN_NF = sensor_series(20)
REFERENCE_BTF = windows_of(sensor_series(100))
"""A sample of normal readings."""


def saved_detector(
    folder: Path,
    families: str = "ae",
    seed: int = 0,
    scoring: Scoring | None = None,
    **of_manifest: Any,
) -> LoadedDetector:
    """Write an untrained detector; `of_manifest` replaces fields of its manifest."""
    built = detector(families, seed=seed, scoring=scoring)
    fields = msgspec.structs.replace(manifest(built), **of_manifest)
    return save(folder, built, GOLDEN_NF, REFERENCE_BTF, fields)
