"""What a manifest may tell of usual readings: of all sensors, or nothing."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline.detector import manifest as manifests
from pipeline.detector.files import MAX_MANIFEST_BYTES
from pipeline.detector.manifest import MAX_SENSORS, Manifest
from pipeline.detector.manifest_parts import N_QUANTILE_BINS, UsualPart
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from tests import builders
from trainer.surprise import STATISTICS
from trainer.usual import usual_readings


def usual(n_sensors: int) -> UsualPart:
    x_NF = np.random.default_rng(0).normal(size=(100, n_sensors)).astype(np.float32)
    one_unit_N = np.zeros(100, dtype=np.int64)
    return usual_readings(x_NF, x_NF, one_unit_N, np.arange(100.0), one_unit_N == 0)


def with_usual(part: UsualPart | None) -> Manifest:
    whole = builders.manifest(builders.detector())
    training = msgspec.structs.replace(whole.training, usual=part)
    return msgspec.structs.replace(whole, training=training)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    written = with_usual(usual(len(builders.SENSORS)))

    assert manifests.decode(manifests.encode(written), "manifest.json") == written


def test_a_manifest_of_before_is_what_it_was() -> None:
    text = manifests.encode(with_usual(None))

    assert b"usual" not in text
    assert b"score_psi" not in text
    assert manifests.decode(text, "manifest.json").training.usual is None


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("low", [0.0, 0.0]),
        ("psi", []),
        ("edges", [[0.0] * (N_QUANTILE_BINS - 2)] * 3),
        ("shares", [[0.5, 0.5]] * 3),
        ("shares", [[1.5] * N_QUANTILE_BINS] * 3),
        ("missing", [-0.1] * 3),
        ("longest_still", [-1] * 3),
        ("high", [1e300] * 3),
    ],
)
def test_what_is_not_of_all_sensors_or_no_such_number_is_refused(
    field: str, values: Any
) -> None:
    fields = msgspec.to_builtins(with_usual(usual(len(builders.SENSORS))))
    fields["training"]["usual"][field] = values

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Manifest)


def test_a_manifest_of_as_many_sensors_as_there_may_be_can_be_read_again() -> None:
    random = np.random.default_rng(0)
    scale_F = random.uniform(1, 2, MAX_SENSORS).astype(np.float32)
    scoring = builders.residual_scoring(*STATISTICS, n_sensors=MAX_SENSORS)
    scoring = replace(
        scoring,
        trust_F=(scale_F / 2).astype(np.float32),
        statistics=tuple(
            replace(each, scale_F=scale_F, typical_F=scale_F) for each in scoring.statistics
        ),
    )
    detector = replace(
        builders.detector(),
        sensors=tuple(f"plant-1/line-12/sensor-{i:05d}" for i in range(MAX_SENSORS)),
        scaling=Scaling(Scaler(-scale_F, scale_F)),
        scoring=scoring,
    )
    whole = builders.manifest(detector)
    training = msgspec.structs.replace(whole.training, usual=usual(MAX_SENSORS))

    text = manifests.encode(msgspec.structs.replace(whole, training=training))

    assert len(text) < MAX_MANIFEST_BYTES
