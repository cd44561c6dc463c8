"""Reading a detector's folder: nothing in it is trusted before it was checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.detector import manifest as manifests
from pipeline.detector import weights
from pipeline.detector.detector import Detector, as_float32
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.files import (
    GOLDEN,
    MANIFEST,
    MAX_GOLDEN_BYTES,
    MAX_HEADER_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_REFERENCE_BYTES,
    REFERENCE,
    WEIGHTS,
    check_there,
    read_file,
)
from pipeline.detector.manifest import Manifest
from pipeline.detector.manifest_parts import ElboPart, FilePart
from pipeline.detector.residual import ResidualScoring, Statistic
from pipeline.detector.scoring import Scoring
from pipeline.detector.signature import Signature
from pipeline.detector.strict import shown
from pipeline.detector.tensors import FLOAT32, Claim, Claims, read_tensors
from pipeline.errors import DetectorError, lacks_memory, one_line
from pipeline.records import FloatArray

MAX_GOLDEN_WINDOWS = 1_000
"""All are scored at once, each time a detector is loaded; `trainer fit` writes 40."""

GOLDEN_TOLERANCE = 1e-3
"""Relative. Float32 sums differ by 1e-6 between processors; another model by far more."""


@dataclass(frozen=True, slots=True)
class LoadedDetector:
    """A detector that passed every check, with the facts about it."""

    detector: Detector
    manifest: Manifest
    digest: str


def load(folder: Path) -> LoadedDetector:
    """Load a detector and verify it: schema, digests, sizes, then the golden windows.

    Raises:
        DetectorError: the folder is no detector, or one that must not be trusted. With
            `is_passing` that is not known: memory was short, or the disk did not answer.
    """
    with _translated_errors(folder):
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
        T, in the order of units and time; scaled, NaN where missing.

    Raises:
        DetectorError: the file is not the one that the detector was saved with, or does
            not hold such windows.
    """
    windows_BTF = _reference(folder, loaded).get("windows")
    if windows_BTF is None:
        raise DetectorError(f"{folder / REFERENCE}: expected windows, found none")
    return _checked_windows(folder, loaded, windows_BTF)


def load_whole(folder: Path, loaded: LoadedDetector) -> FloatArray | None:
    """The training windows that are kept in their whole length, verified.

    Returns:
        Shape (B, T, F), in the order of units and time; scaled, NaN where missing. None
        where there are none: an earlier version wrote the folder, or next to none fit.

    Raises:
        DetectorError: as `load_reference`.
    """
    windows_BTF = _reference(folder, loaded).get("whole")
    if windows_BTF is None:
        return None
    windows_BTF = _checked_windows(folder, loaded, windows_BTF)
    if windows_BTF.shape[1] != loaded.detector.window:
        raise DetectorError(
            f"{folder / REFERENCE}: expected whole windows of {loaded.detector.window} "
            f"readings, got {windows_BTF.shape}"
        )
    return windows_BTF


def _reference(folder: Path, loaded: LoadedDetector) -> dict[str, FloatArray]:
    limit = 2 * MAX_REFERENCE_BYTES + MAX_HEADER_BYTES
    part = loaded.manifest.reference
    with _translated_errors(folder):
        _check_name(folder, REFERENCE, part)
        tensors = read_tensors(folder / REFERENCE, part.sha256, limit, lambda claims: None)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _checked_windows(
    folder: Path, loaded: LoadedDetector, windows_BTF: FloatArray
) -> FloatArray:
    detector = loaded.detector
    if (
        windows_BTF.ndim != 3
        or windows_BTF.shape[2] != len(detector.sensors)
        or not 1 <= windows_BTF.shape[1] <= detector.window
        or len(windows_BTF) == 0
        or windows_BTF.nbytes > MAX_REFERENCE_BYTES
        or np.isinf(windows_BTF).any()
    ):
        raise DetectorError(
            f"{folder / REFERENCE}: expected windows of at most {detector.window} readings "
            f"of {len(detector.sensors)} sensors, finite or missing, in float32, "
            f"{MAX_REFERENCE_BYTES} bytes in all, got {windows_BTF.dtype} "
            f"{windows_BTF.shape}"
        )
    return windows_BTF


def load_golden(folder: Path, loaded: LoadedDetector) -> FloatArray:
    """The golden readings of a detector, verified: a stretch of its held-out history.

    Returns:
        In the sensors' own units, NaN where missing, shape (N, F), at least one window.

    Raises:
        DetectorError: the file is not the one that the detector was saved with.
    """
    with _translated_errors(folder):
        return _golden(folder, loaded.manifest)[0]


@contextmanager
def _translated_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        what = one_line(error) or type(error).__name__
        if lacks_memory(error):
            raise DetectorError(
                f"{folder}: not enough memory to load it ({what}); nothing is known "
                "against it: give more memory, or try again",
                is_passing=True,
            ) from error
        raise DetectorError(
            f"{folder}: cannot be loaded ({what})", is_passing=isinstance(error, OSError)
        ) from error


def _loaded(folder: Path, text: bytes) -> LoadedDetector:
    manifest = manifests.decode(text, str(folder / MANIFEST))
    for part in manifest.networks:
        if part.family not in FAMILIES:
            raise DetectorError(
                f"{folder}: expected a model family of {sorted(FAMILIES)}, "
                f"got {shown(part.family)}; a newer version wrote it"
            )
    _check_name(folder, WEIGHTS, manifest.weights)
    _check_name(folder, GOLDEN, manifest.golden)
    _check_name(folder, REFERENCE, manifest.reference)
    check_there(folder / REFERENCE)
    networks, scaling = weights.read(folder, manifest)
    detector = Detector(
        sensors=tuple(manifest.sensors),
        networks=networks,
        scaling=scaling,
        scoring=_scoring(folder, manifest),
        threshold=manifest.threshold.value,
    )
    _check_golden(folder, detector, *_golden(folder, manifest))
    return LoadedDetector(detector, manifest, manifests.digest(manifest))


def _scoring(folder: Path, manifest: Manifest) -> Scoring:
    score = manifest.score
    if isinstance(score, ElboPart):
        strangers = [p.family for p in manifest.networks if p.family not in VARIATIONAL]
        if strangers:
            raise DetectorError(f"{folder}: {strangers[0]!r} is not scored by an ELBO")
        return ElboScoring(score.has_kl, score.limit)
    return ResidualScoring(
        trust_F=as_float32(score.trust),
        is_scored_F=np.array(score.scored, dtype=np.bool_),
        statistics=tuple(
            Statistic(
                part.kind,
                part.span,
                as_float32(part.scale),
                as_float32(part.typical),
                part.limit,
            )
            for part in score.statistics
        ),
        signatures=tuple(
            Signature(
                part.feature,
                part.span,
                as_float32(part.scale),
                as_float32(part.center),
                np.array(part.directions, dtype=np.float32),
                part.usual,
                part.spread,
                part.weight,
            )
            for part in score.signatures
        ),
    )


def _golden(folder: Path, manifest: Manifest) -> tuple[FloatArray, FloatArray]:
    """Readings, shape (N, F), and the scores recorded of their windows, shape (B,)."""
    n_sensors, window = len(manifest.sensors), manifest.window

    def check(claims: Claims) -> None:
        readings, scores = claims.get("readings"), claims.get("scores")
        n_windows = readings.shape[0] - window + 1 if readings and readings.shape else 0
        expected = {
            "readings": Claim(FLOAT32, (n_windows + window - 1, n_sensors)),
            "scores": Claim(FLOAT32, (n_windows,)),
        }
        if claims != expected or not 1 <= n_windows <= MAX_GOLDEN_WINDOWS:
            names = sorted(claims.keys() - expected.keys())
            raise DetectorError(
                f"{folder}: expected 1 to {MAX_GOLDEN_WINDOWS} golden windows of {window} "
                f"readings of {n_sensors} sensors with a score each, in float32, got "
                f"readings {readings}, scores {scores}"
                + (f" and {shown(names[0])}" if names else "")
            )

    sha256 = manifest.golden.sha256
    tensors = read_tensors(folder / GOLDEN, sha256, MAX_GOLDEN_BYTES, check)
    return tensors["readings"].numpy(), tensors["scores"].numpy()


def _check_golden(
    folder: Path, detector: Detector, golden_NF: FloatArray, expected_B: FloatArray
) -> None:
    # Numbers that overflow together give other scores than those recorded.
    with np.errstate(all="ignore"):
        score_B = detector.score_series(golden_NF).score_B
    if not np.allclose(score_B, expected_B, rtol=GOLDEN_TOLERANCE, atol=1e-6):
        raise DetectorError(
            f"{folder}: golden windows score {score_B[:4].tolist()} but were recorded as "
            f"{expected_B[:4].tolist()}; it is not the detector that was trained"
        )


def _check_name(folder: Path, name: str, part: FilePart) -> None:
    # The name is ours, not the manifest's: a manifest cannot point outside its folder.
    if part.file != name:
        raise DetectorError(f"{folder}: expected a file {name!r}, got {shown(part.file)}")
