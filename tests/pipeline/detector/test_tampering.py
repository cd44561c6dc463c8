"""A detector is loaded only if nothing was changed since it was written."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from pipeline.detector import manifest as manifests
from pipeline.detector.artifact import GOLDEN, MANIFEST, REFERENCE, WEIGHTS, load
from pipeline.errors import DetectorError
from tests.builders import GOLDEN_NF, saved_detector


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest's fields, and its digests of itself and of the other files."""
    fields = json.loads((folder / MANIFEST).read_text())
    parts = {"weights": WEIGHTS, "golden": GOLDEN, "reference": REFERENCE}
    for part, name in parts.items():
        content = (folder / name).read_bytes()
        fields[part]["sha256"] = hashlib.sha256(content).hexdigest()
    change(fields)
    fields.pop("digest")
    manifest = msgspec.convert(fields, manifests.Manifest)
    (folder / MANIFEST).write_bytes(manifests.encode(manifest))


@pytest.mark.parametrize(
    "field",
    [
        "schema",
        "name",
        "sensors",
        "networks",
        "scaler",
        "score",
        "threshold",
        "incident",
        "training",
        "versions",
        "weights",
        "golden",
        "reference",
        "digest",
    ],
)
def test_a_manifest_that_lacks_a_field_is_refused(field: str, folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    del fields[field]
    (folder / MANIFEST).write_text(json.dumps(fields))

    with pytest.raises(DetectorError, match="manifest"):
        load(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"pumps"', '"valves"'),
        ('"window": 8', '"window": 9'),
        ('"members": 2', '"members": 3'),
        ('"value": 0.5', '"value": 0.6'),
        ('"span": 1', '"span": 2'),
        ('"pressure"', '"flow"'),
        ('"recovery": 10', '"recovery": 11'),
        ('"n_rows": 500', '"n_rows": 501'),
        ('"python": "3.11"', '"python": "3.12"'),
    ],
)
def test_an_edited_manifest_is_refused(old: str, new: str, folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    assert old in text
    (folder / MANIFEST).write_text(text.replace(old, new))

    with pytest.raises(DetectorError, match="edited or damaged"):
        load(folder)


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
@pytest.mark.parametrize("position", [0, 200, -1])
def test_one_flipped_bit_is_refused(name: str, position: int, folder: Path) -> None:
    content = bytearray((folder / name).read_bytes())
    content[position] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(DetectorError, match="SHA-256"):
        load(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, REFERENCE])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()

    with pytest.raises(DetectorError, match=f"{name}: cannot be read"):
        load(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN, REFERENCE])
def test_a_link_is_refused(name: str, folder: Path) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")

    with pytest.raises(DetectorError, match=name):
        load(folder)


def test_a_pipe_is_refused_at_once(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)

    with pytest.raises(DetectorError, match="expected a file"):
        load(folder)


@pytest.mark.parametrize("where", ["nowhere", "pumps/manifest.json"])
def test_what_is_no_folder_is_refused(where: str, folder: Path) -> None:
    with pytest.raises(DetectorError, match="expected a detector's folder"):
        load(folder.parent / where)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"schema": "detector/1"}']
)
def test_a_manifest_of_another_kind_or_version_is_refused(
    text: bytes, folder: Path
) -> None:
    (folder / MANIFEST).write_bytes(text)

    with pytest.raises(DetectorError, match=r"manifest.json"):
        load(folder)


def changed_file(fields: dict[str, Any]) -> None:
    fields["weights"]["file"] = "../../weights.safetensors"


def changed_threshold(fields: dict[str, Any]) -> None:
    fields["threshold"]["value"] *= 1.01


def changed_scale(fields: dict[str, Any]) -> None:
    fields["scaler"]["scale"][0] *= 1.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed_file, "expected a file 'weights.safetensors'"),
        (changed_threshold, "not the detector that was trained"),
        (changed_scale, "not the detector that was trained"),
    ],
)
def test_a_change_is_refused_even_if_its_digests_were_made_good(
    change: Callable[[dict[str, Any]], None], message: str, folder: Path
) -> None:
    rewrite(folder, change)

    with pytest.raises(DetectorError, match=message):
        load(folder)


def test_other_weights_are_refused_even_if_their_digests_were_made_good(
    folder: Path,
) -> None:
    saved_detector(folder.parent / "other", seed=1)
    (folder / WEIGHTS).write_bytes((folder.parent / "other" / WEIGHTS).read_bytes())
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match="not the detector that was trained"):
        load(folder)


@pytest.mark.parametrize(
    "golden",
    [
        {"readings": GOLDEN_NF, "scores": np.zeros(13, np.float32)},
        {"readings": GOLDEN_NF, "scores": np.full(13, np.nan, np.float32)},
        {"readings": GOLDEN_NF[:0], "scores": np.zeros(0, np.float32)},
        {"readings": GOLDEN_NF[:7], "scores": np.zeros(0, np.float32)},
        {"readings": GOLDEN_NF[:, :2], "scores": np.zeros(13, np.float32)},
        {"readings": GOLDEN_NF[0], "scores": np.zeros(1, np.float32)},
        {"readings": GOLDEN_NF[None], "scores": np.zeros(13, np.float32)},
        {"readings": GOLDEN_NF.astype(np.float64), "scores": np.zeros(13, np.float32)},
        {"readings": np.zeros((8, 3), np.complex64), "scores": np.zeros(1, np.float32)},
        {"readings": np.zeros((8, 3), np.uint16), "scores": np.zeros(1, np.float32)},
        {"readings": GOLDEN_NF, "scores": np.zeros((13, 2), np.float32)},
        {"readings": GOLDEN_NF, "scores": np.zeros(20, np.float32)},
        {"readings": GOLDEN_NF},
        {"windows": GOLDEN_NF, "scores": np.zeros(13, np.float32)},
        {},
    ],
)
def test_golden_readings_that_prove_nothing_are_refused(
    golden: dict[str, np.ndarray[Any, Any]], folder: Path
) -> None:
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in golden.items()}
    safetensors.numpy.save_file(contiguous, folder / GOLDEN)
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match="golden"):
        load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x08" + b"\x00" * 7 + b"{}      "]
)
def test_weights_that_are_none_are_refused(content: bytes, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(content)
    rewrite(folder, lambda fields: None)

    with pytest.raises(DetectorError, match=r"do not fit|expected tensors"):
        load(folder)
