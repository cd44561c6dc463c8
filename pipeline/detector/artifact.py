"""A detector as a folder: written whole or not at all, verified when it is loaded.

`manifest.json`, `weights.safetensors` and `golden.safetensors`, the golden windows with
their scores. All three are data: nothing in them is executed.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch

from pipeline.detector import manifest as manifests
from pipeline.detector.detector import Detector, as_float32
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.manifest import FilePart, Manifest
from pipeline.detector.network import NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.errors import DetectorError, InputError
from pipeline.records import FloatArray

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.safetensors"

MAX_MANIFEST_BYTES = 16 * 2**20
MAX_TENSORS_BYTES = 2 * 2**30

GOLDEN_TOLERANCE = 1e-3
"""Relative. Float32 sums differ by 1e-6 between processors; another model by far more."""


@dataclass(frozen=True, slots=True)
class LoadedDetector:
    """A detector that passed every check, with the facts about it."""

    detector: Detector
    manifest: Manifest
    digest: str


def save(
    folder: Path,
    detector: Detector,
    golden_BTF: FloatArray,
    manifest_without_files: Manifest,
) -> LoadedDetector:
    """Write a detector's folder and return it, loaded back and verified.

    It is written under a temporary name beside `folder` and renamed, so that nobody ever
    sees half of one. A detector that stands there is replaced; anything else is not.

    Raises:
        InputError: `folder` holds something that is not a detector, or cannot be written.
    """
    refuse_other_content(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error}") from error
    try:
        state = detector.network.state_dict()
        weights = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        safetensors.torch.save_file(weights, building / WEIGHTS)
        # safetensors writes an array's memory as it lies, strides or not.
        golden_BTF = np.ascontiguousarray(golden_BTF)
        golden = {"windows": golden_BTF, "scores": detector.score(golden_BTF).score_B}
        safetensors.numpy.save_file(golden, building / GOLDEN)
        manifest = msgspec.structs.replace(
            manifest_without_files,
            weights=FilePart(WEIGHTS, _sha256(building / WEIGHTS)),
            golden=FilePart(GOLDEN, _sha256(building / GOLDEN)),
        )
        (building / MANIFEST).write_bytes(manifests.encode(manifest))
        loaded = load(building)
        # For the worker, which mostly runs as another user.
        building.chmod(0o755)
        for file in building.iterdir():
            file.chmod(0o644)
        _replace(building, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return loaded


def refuse_other_content(folder: Path) -> None:
    """Raise InputError if `folder` is in use for anything but a detector."""
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).is_file()):
        raise InputError(
            f"{folder}: expected a new folder or a detector to replace, "
            "found something else; choose another --out"
        )


def load(folder: Path) -> LoadedDetector:
    """Load a detector and verify it: schema, digests, then the golden windows.

    Raises:
        DetectorError: the folder is no detector, or one that must not be trusted.
    """
    text = _read(folder / MANIFEST, MAX_MANIFEST_BYTES)
    manifest = manifests.decode(text, str(folder / MANIFEST))
    if manifest.model.family not in FAMILIES:
        raise DetectorError(
            f"{folder}: expected a model family of {sorted(FAMILIES)}, "
            f"got {manifest.model.family!r}; a newer version wrote it"
        )
    weights = _verified(folder, WEIGHTS, manifest.weights)
    golden = _verified(folder, GOLDEN, manifest.golden)
    shape = NetworkShape(
        window=manifest.model.window,
        n_sensors=len(manifest.sensors),
        hidden=manifest.model.hidden,
        latent=manifest.model.latent,
    )
    try:
        network = build_network(manifest.model.family, shape)
        network.load_state_dict(safetensors.torch.load(weights))
        tensors = safetensors.numpy.load(golden)
        golden_BTF, expected_B = tensors["windows"], tensors["scores"]
    except (safetensors.SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise DetectorError(f"{folder}: the weights do not fit: {error}") from error
    network.eval()
    detector = Detector(
        sensors=tuple(manifest.sensors),
        network=network,
        scaler=Scaler(as_float32(manifest.scaler.mean), as_float32(manifest.scaler.scale)),
        threshold=manifest.threshold.value,
    )
    _check_golden(folder, detector, golden_BTF, expected_B)
    return LoadedDetector(detector, manifest, manifests.digest(manifest))


def _check_golden(
    folder: Path, detector: Detector, golden_BTF: FloatArray, expected_B: FloatArray
) -> None:
    shape = (len(expected_B), detector.window, len(detector.sensors))
    if (
        golden_BTF.dtype != np.float32
        or golden_BTF.shape != shape
        or expected_B.shape != shape[:1]
        or len(expected_B) == 0
    ):
        raise DetectorError(
            f"{folder}: expected golden windows of {shape[1:]} with a score each, got "
            f"{golden_BTF.dtype} {golden_BTF.shape} and {expected_B.shape}"
        )
    score_B = detector.score(golden_BTF).score_B
    if not np.allclose(score_B, expected_B, rtol=GOLDEN_TOLERANCE, atol=1e-6):
        raise DetectorError(
            f"{folder}: golden windows score {score_B[:4]} but were recorded as "
            f"{expected_B[:4]}; it is not the detector that was trained"
        )


def _verified(folder: Path, name: str, part: FilePart) -> bytes:
    # The name is ours, not the manifest's: a manifest cannot point outside its folder.
    if part.file != name:
        raise DetectorError(f"{folder}: expected a file {name!r}, got {part.file!r}")
    content = _read(folder / name, MAX_TENSORS_BYTES)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise DetectorError(
            f"{folder / name}: its SHA-256 is not the manifest's; it was changed or damaged"
        )
    return content


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        # Not through a link: a detector is the files in its folder and nothing else.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                raise DetectorError(f"{path}: expected a file of at most {max_bytes} bytes")
            return opened.read(max_bytes)
    except OSError as error:
        raise DetectorError(
            f"{path}: cannot be read ({error.strerror}); expected a detector's folder, "
            "as `trainer fit` writes it"
        ) from error


def _replace(building: Path, folder: Path) -> None:
    if not folder.exists():
        building.rename(folder)
        return
    # rename() does not replace a folder that is not empty, so the old one steps aside.
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(old / "detector")
    try:
        building.rename(folder)
    except OSError:
        (old / "detector").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
