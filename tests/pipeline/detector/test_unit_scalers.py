"""Units' own scalers in a detector's folder: saved, read back, and never trusted."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from msgspec import structs

from pipeline.detector.artifact import load, save
from pipeline.detector.scaling import Scaling
from pipeline.errors import DetectorError
from pipeline.records import FloatArray
from tests import builders
from tests.builders import REFERENCE_BTF, sensor_series
from tests.pipeline.detector.test_tampering import rewrite

UNITS = ("pump-1", "pümp 2")


def saved(folder: Path, mean_UF: FloatArray | None = None) -> Scaling:
    detector = builders.detector()
    pooled = detector.scaling.pooled
    mean_UF = np.stack([pooled.mean_F, pooled.mean_F + 7]) if mean_UF is None else mean_UF
    scaling = Scaling(pooled, UNITS, mean_UF, np.ones_like(mean_UF))
    detector = replace(detector, scaling=scaling)
    save(folder, detector, sensor_series(50), REFERENCE_BTF, builders.manifest(detector))
    return scaling


def test_scalers_are_read_as_they_were_saved(tmp_path: Path) -> None:
    expected = saved(tmp_path / "pumps")

    found = load(tmp_path / "pumps").detector.scaling

    assert found.units == UNITS
    np.testing.assert_array_equal(found.mean_UF, expected.mean_UF)
    np.testing.assert_array_equal(found.scale_UF, expected.scale_UF)


@pytest.mark.parametrize("units", [[*UNITS, "pump-3"], UNITS[:1]])
def test_a_manifest_that_claims_other_units_is_refused(
    units: list[str], tmp_path: Path
) -> None:
    saved(tmp_path / "pumps")

    def change(fields: dict[str, Any]) -> None:
        fields["scaler"]["units"] = units

    rewrite(tmp_path / "pumps", change)

    with pytest.raises(DetectorError, match=r"expected 'scaling.mean_UF'"):
        load(tmp_path / "pumps")


@pytest.mark.parametrize(
    ("kind", "units", "message"),
    [
        ("per unit", ["pump-1", "pump-1"], "units are not all different"),
        ("per unit", [], "scaler is per unit"),
        ("pooled", ["pump-1"], "scaler is pooled"),
    ],
)
def test_units_that_contradict_the_kind_or_each_other_are_no_manifest(
    kind: Literal["pooled", "per unit"], units: list[str], message: str
) -> None:
    manifest = builders.manifest(builders.detector())
    scaler = structs.replace(manifest.scaler, kind=kind, units=units)

    with pytest.raises(ValueError, match=message):
        structs.replace(manifest, scaler=scaler)


def test_scalers_that_no_manifest_speaks_of_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "pumps")

    def change(fields: dict[str, Any]) -> None:
        fields["scaler"] |= {"kind": "pooled", "units": []}

    rewrite(tmp_path / "pumps", change)

    with pytest.raises(DetectorError, match=r"expected 'scaling.mean_UF' to be None"):
        load(tmp_path / "pumps")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mean_that_is_no_number_is_refused(value: float, tmp_path: Path) -> None:
    mean_UF: FloatArray = np.full((2, 3), value, np.float32)

    with pytest.raises(DetectorError, match="means must be finite"):
        saved(tmp_path / "pumps", mean_UF)

    assert not (tmp_path / "pumps").exists()
