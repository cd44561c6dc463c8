"""How much memory loading a detector takes is bounded by its files, not by their claims."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

from pipeline.detector.artifact import GOLDEN, WEIGHTS, load, save
from pipeline.detector.detector import Detector
from pipeline.detector.families import build_network
from pipeline.detector.network import NetworkShape
from pipeline.errors import DetectorError
from tests import builders
from tests.builders import GOLDEN_NF, REFERENCE_BTF, SENSORS, saved_detector
from tests.pipeline.detector.test_tampering import rewrite
from tests.support import MIB, memory_left


def refused(folder: Path, n_bytes: int) -> DetectorError:
    """Why it is not loaded with so much memory."""
    # What torch takes when it is first used is not the folder's.
    saved_detector(folder.parent / "another")
    with memory_left(n_bytes), pytest.raises(DetectorError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return caught.value


def test_networks_larger_than_their_weights_are_refused_before_they_are_built(
    tmp_path: Path,
) -> None:
    saved_detector(tmp_path / "pumps", "vae+dvae")
    sizes = {"latent": 100_000, "members": 1_000}

    def change(fields: dict[str, Any]) -> None:
        for part in fields["networks"]:
            part.update(sizes)

    rewrite(tmp_path / "pumps", change)

    refusal = refused(tmp_path / "pumps", 256 * MIB)

    assert "the weights do not fit" in str(refusal)
    assert not refusal.is_passing


def test_windows_far_beyond_the_weights_are_refused_unscored(tmp_path: Path) -> None:
    saved_detector(tmp_path / "pumps", "gru")
    sizes = {"window": 100_000, "members": 1_000}
    rewrite(tmp_path / "pumps", lambda fields: fields["networks"][0].update(sizes))

    assert "values a window; expected at most" in str(
        refused(tmp_path / "pumps", 256 * MIB)
    )


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_a_file_of_the_wrong_size_is_not_held(name: str, folder: Path) -> None:
    os.truncate(folder / name, 255 * MIB)

    assert "its SHA-256 is not the manifest's" in str(refused(folder, 128 * MIB))


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_nor_if_its_digest_was_made_good(name: str, folder: Path) -> None:
    os.truncate(folder / name, 255 * MIB)
    rewrite(folder, lambda fields: None)

    refusal = refused(folder, 128 * MIB)

    assert f"{name}: expected tensors of" in str(refusal)
    assert not refusal.is_passing


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_tensors_that_are_not_those_expected_are_not_held(name: str, folder: Path) -> None:
    n_bytes = 200 * MIB
    claim = {"dtype": "F32", "shape": [n_bytes // 4], "data_offsets": [0, n_bytes]}
    header = str({"scores": claim}).replace("'", '"').encode()
    (folder / name).write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(folder / name, 8 + len(header) + n_bytes)
    rewrite(folder, lambda fields: None)

    refusal = refused(folder, 128 * MIB)

    assert "expected" in str(refusal)
    assert not refusal.is_passing


def test_a_good_detector_that_there_is_no_memory_for_may_be_tried_again(
    tmp_path: Path,
) -> None:
    small = builders.detector()
    shape = NetworkShape(8, len(SENSORS), hidden=80_000, latent=256)
    large = Detector(
        SENSORS,
        (build_network("ae", shape).eval(),),
        small.scaling,
        small.scoring,
        small.threshold,
    )
    folder = tmp_path / "pumps"
    save(folder, large, GOLDEN_NF, REFERENCE_BTF, builders.manifest(large))

    refusal = refused(folder, 64 * MIB)

    assert f"{folder}: not enough memory" in str(refusal)
    assert refusal.is_passing
    load(folder)


def test_what_is_read_is_what_the_library_reads(folder: Path) -> None:
    loaded = load(folder)
    by_library = safetensors.numpy.load_file(folder / WEIGHTS)

    read = loaded.detector.networks[0].state_dict()

    assert {f"0.{name}" for name in read} == by_library.keys()
    for name, tensor in read.items():
        assert (tensor.numpy() == by_library[f"0.{name}"]).all()
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert loaded.manifest.weights.sha256 == digest
