"""The sample of normal readings beside a detector, which only measuring it reads."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from pipeline.detector.artifact import REFERENCE, load, load_reference, load_whole, save
from pipeline.errors import DetectorError
from pipeline.records import FloatArray
from tests import builders
from tests.builders import REFERENCE_BTF
from tests.pipeline.detector.test_tampering import rewrite


def test_the_reference_is_read_as_it_was_saved(folder: Path) -> None:
    np.testing.assert_array_equal(load_reference(folder, load(folder)), REFERENCE_BTF)


def test_a_reference_that_was_changed_is_refused_where_it_is_read(folder: Path) -> None:
    content = bytearray((folder / REFERENCE).read_bytes())
    content[-1] ^= 1
    (folder / REFERENCE).write_bytes(content)

    loaded = load(folder)

    with pytest.raises(DetectorError, match=f"{REFERENCE}: its SHA-256"):
        load_reference(folder, loaded)


@pytest.mark.parametrize(
    "tensors",
    [
        {"windows": REFERENCE_BTF[:0]},
        {"windows": REFERENCE_BTF[:, :0]},
        {"windows": REFERENCE_BTF[:, :, :2]},
        {"windows": REFERENCE_BTF[0]},
        {"windows": np.repeat(REFERENCE_BTF, 2, axis=1)},
        {"windows": REFERENCE_BTF.astype(np.float64)},
        {"windows": np.full_like(REFERENCE_BTF, np.inf)},
        {"others": REFERENCE_BTF},
    ],
    ids=["none", "empty", "sensors", "flat", "longer", "double", "infinite", "name"],
)
def test_a_reference_of_another_shape_is_refused(
    tensors: dict[str, np.ndarray], folder: Path
) -> None:
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(contiguous, folder / REFERENCE)
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match=f"{REFERENCE}: expected '?windows"):
        load_reference(folder, load(folder))


def test_a_reference_of_more_than_4_mib_is_refused(folder: Path) -> None:
    safetensors.numpy.save_file(
        {"windows": np.zeros((50_000, 8, 3), np.float32)}, folder / REFERENCE
    )
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match="at most"):
        load_reference(folder, load(folder))


def test_whole_windows_are_read_as_they_were_saved(tmp_path: Path) -> None:
    built, folder = builders.detector(window=8), tmp_path / "pumps"
    manifest, golden_NF = builders.manifest(built), builders.GOLDEN_NF

    save(folder, built, golden_NF, REFERENCE_BTF, manifest, REFERENCE_BTF[:40])

    whole_BTF = load_whole(folder, load(folder))
    assert whole_BTF is not None
    np.testing.assert_array_equal(whole_BTF, REFERENCE_BTF[:40])


def test_an_earlier_versions_detector_has_no_whole_windows(folder: Path) -> None:
    assert load_whole(folder, load(folder)) is None


@pytest.mark.parametrize(
    "whole_BTF", [REFERENCE_BTF[:, :4], REFERENCE_BTF[:, :, :2], REFERENCE_BTF[:0]]
)
def test_whole_windows_of_another_shape_are_refused(
    whole_BTF: FloatArray, folder: Path
) -> None:
    tensors = {"windows": REFERENCE_BTF, "whole": np.ascontiguousarray(whole_BTF)}
    safetensors.numpy.save_file(tensors, folder / REFERENCE)
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match=r"expected .*windows of"):
        load_whole(folder, load(folder))
