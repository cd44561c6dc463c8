"""Reading a detector's folder: nothing in it is trusted before it was checked."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from pipeline.detector import manifest as manifests
from pipeline.detector.detector import Detector, as_float32
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.files import (
    GOLDEN,
    MANIFEST,
    MAX_HEADER_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_REFERENCE_BYTES,
    MAX_TENSORS_BYTES,
    REFERENCE,
    WEIGHTS,
    check_there,
    one_line,
    read_file,
)
from pipeline.detector.manifest import FilePart, Manifest
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.errors import DetectorError
from pipeline.records import FloatArray

MAX_GOLDEN_WINDOWS = 1_000
"""All are scored at once, each time a detector is loaded; `trainer fit` writes 16."""

GOLDEN_TOLERANCE = 1e-3
"""Relative. Float32 sums differ by 1e-6 between processors; another model by far more."""

# What safetensors raises for content that is not its own, or of a type it does not know.
_UNREADABLE = (
    safetensors.SafetensorError,
    AssertionError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class LoadedDetector:
    """A detector that passed every check, with the facts about it."""

    detector: Detector
    manifest: Manifest
    digest: str


def load(folder: Path) -> LoadedDetector:
    """Load a detector and verify it: schema, digests, sizes, then the golden windows.

    Raises:
        DetectorError: the folder is no detector, or one that must not be trusted.
    """
    text = read_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        return _loaded(folder, text)
    except DetectorError:
        # Replaced while it was read, the files are of two detectors, both good.
        text_now = read_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
        if text_now == text:
            raise
    return _loaded(folder, text_now)


def load_reference(folder: Path, loaded: LoadedDetector) -> FloatArray:
    """The sample of normal readings that stands beside a detector, verified.

    Returns:
        Short windows of the training rows, shape (B, t, F) with t at most the detector's
        T, in the order of units and time; in the sensors' own units, NaN where missing.

    Raises:
        DetectorError: the file is not the one that the detector was saved with, or does
            not hold such windows.
    """
    limit = MAX_REFERENCE_BYTES + MAX_HEADER_BYTES
    content = _verified(folder, REFERENCE, loaded.manifest.reference, limit)
    detector = loaded.detector
    try:
        windows_BTF: FloatArray = safetensors.numpy.load(content)["windows"]
    except _UNREADABLE as error:
        raise DetectorError(
            f"{folder / REFERENCE}: expected windows: {one_line(error)}"
        ) from error
    if (
        windows_BTF.dtype != np.float32
        or windows_BTF.ndim != 3
        or windows_BTF.shape[2] != len(detector.sensors)
        or not 1 <= windows_BTF.shape[1] <= detector.window
        or len(windows_BTF) == 0
        or np.isinf(windows_BTF).any()
    ):
        raise DetectorError(
            f"{folder / REFERENCE}: expected windows of at most {detector.window} readings "
            f"of {len(detector.sensors)} sensors, finite or missing, in float32, got "
            f"{windows_BTF.dtype} {windows_BTF.shape}"
        )
    return windows_BTF


def _loaded(folder: Path, text: bytes) -> LoadedDetector:
    manifest = manifests.decode(text, str(folder / MANIFEST))
    if manifest.model.family not in FAMILIES:
        raise DetectorError(
            f"{folder}: expected a model family of {sorted(FAMILIES)}, "
            f"got {manifest.model.family!r}; a newer version wrote it"
        )
    weights = _verified(folder, WEIGHTS, manifest.weights)
    golden = _verified(folder, GOLDEN, manifest.golden)
    _check_name(folder, REFERENCE, manifest.reference)
    check_there(folder / REFERENCE)
    detector = Detector(
        sensors=tuple(manifest.sensors),
        network=_network(folder, manifest, weights),
        scaler=Scaler(as_float32(manifest.scaler.mean), as_float32(manifest.scaler.scale)),
        threshold=manifest.threshold.value,
    )
    _check_golden(folder, detector, golden)
    return LoadedDetector(detector, manifest, manifests.digest(manifest))


def _network(folder: Path, manifest: Manifest, content: bytes) -> Network:
    """The network with its weights. The manifest's sizes are claims, so nothing is
    allocated by them: the weights must have them, and those are no larger than a file."""
    shape = NetworkShape(
        window=manifest.model.window,
        n_sensors=len(manifest.sensors),
        hidden=manifest.model.hidden,
        latent=manifest.model.latent,
    )
    with torch.device("meta"):
        network = build_network(manifest.model.family, shape)
    try:
        weights = safetensors.torch.load(content)
    except _UNREADABLE as error:
        raise DetectorError(
            f"{folder}: the weights do not fit: {one_line(error)}"
        ) from error
    expected = {name: (t.dtype, tuple(t.shape)) for name, t in network.state_dict().items()}
    found = {name: (t.dtype, tuple(t.shape)) for name, t in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise DetectorError(
                f"{folder}: the weights do not fit: expected {name!r} to be "
                f"{expected.get(name)}, got {found.get(name)}"
            )
    network.load_state_dict(weights, assign=True)
    return network.eval()


def _check_golden(folder: Path, detector: Detector, content: bytes) -> None:
    try:
        tensors = safetensors.numpy.load(content)
        golden_BTF, expected_B = tensors["windows"], tensors["scores"]
    except _UNREADABLE as error:
        raise DetectorError(
            f"{folder}: expected golden windows and their scores: {one_line(error)}"
        ) from error
    n_windows = len(golden_BTF) if golden_BTF.ndim else 0
    shape = (n_windows, detector.window, len(detector.sensors))
    if (
        golden_BTF.dtype != np.float32
        or expected_B.dtype != np.float32
        or golden_BTF.shape != shape
        or expected_B.shape != shape[:1]
        or not 1 <= n_windows <= MAX_GOLDEN_WINDOWS
    ):
        raise DetectorError(
            f"{folder}: expected 1 to {MAX_GOLDEN_WINDOWS} golden windows of {shape[1:]} "
            f"with a score each, in float32, got {golden_BTF.dtype} {golden_BTF.shape} "
            f"and {expected_B.dtype} {expected_B.shape}"
        )
    score_B: FloatArray = detector.score(golden_BTF).score_B
    if not np.allclose(score_B, expected_B, rtol=GOLDEN_TOLERANCE, atol=1e-6):
        raise DetectorError(
            f"{folder}: golden windows score {score_B[:4].tolist()} but were recorded as "
            f"{expected_B[:4].tolist()}; it is not the detector that was trained"
        )


def _verified(
    folder: Path, name: str, part: FilePart, max_bytes: int = MAX_TENSORS_BYTES
) -> bytes:
    _check_name(folder, name, part)
    content = read_file(folder / name, max_bytes)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise DetectorError(
            f"{folder / name}: its SHA-256 is not the manifest's; it was changed or damaged"
        )
    return content


def _check_name(folder: Path, name: str, part: FilePart) -> None:
    # The name is ours, not the manifest's: a manifest cannot point outside its folder.
    if part.file != name:
        raise DetectorError(f"{folder}: expected a file {name!r}, got {part.file!r}")
