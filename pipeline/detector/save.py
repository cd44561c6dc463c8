"""Writing a detector's folder: whole or not at all."""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import safetensors.numpy

from pipeline.detector import manifest as manifests
from pipeline.detector import weights
from pipeline.detector.detector import Detector
from pipeline.detector.files import (
    GOLDEN,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    NAMES,
    REFERENCE,
    WEIGHTS,
    read_file,
)
from pipeline.detector.load import LoadedDetector, load, load_reference, load_whole
from pipeline.detector.manifest import Manifest
from pipeline.detector.manifest_parts import FilePart
from pipeline.detector.replace import remove_detector, replace_folder
from pipeline.errors import DetectorError, InputError, one_line
from pipeline.records import FloatArray


def save(
    folder: Path,
    detector: Detector,
    golden_NF: FloatArray,
    reference_BTF: FloatArray,
    manifest_without_files: Manifest,
    whole_BTF: FloatArray | None = None,
) -> LoadedDetector:
    """Write a detector's folder and return it, loaded back and verified.

    It is written under a temporary name beside `folder` and renamed, so that nobody ever
    sees half of one. A detector that stands there is replaced; anything else is not. Where
    `folder` is a link, the folder it points to is written, and the link stays.

    Args:
        folder: where; its parents are made.
        detector: what is saved.
        golden_NF: readings in a row whose scores are recorded, and checked on every load.
        reference_BTF: short windows of the training rows, scaled, NaN where missing; see
            `load_reference`.
        manifest_without_files: everything else.
        whole_BTF: training windows in their whole length, alike; see `load_whole`.

    Raises:
        InputError: `folder` holds something that is not a detector, or cannot be written.
    """
    refuse_other_content(folder)
    target = _resolved(folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {one_line(error)}") from error
    reference = {"windows": np.ascontiguousarray(reference_BTF)}
    if whole_BTF is not None:
        reference["whole"] = np.ascontiguousarray(whole_BTF)
    try:
        loaded = _write(building, detector, golden_NF, reference, manifest_without_files)
        # Again, for what was put there meanwhile.
        refuse_other_content(folder)
        replace_folder(building, target)
    # A manifest that its own reader would refuse: more sensors than it may have.
    except (OSError, msgspec.ValidationError) as error:
        raise InputError(f"{folder}: cannot be written: {one_line(error)}") from error
    except DetectorError as error:
        where = str(error).replace(str(building), str(folder))
        raise DetectorError(where, is_passing=error.is_passing) from error
    finally:
        remove_detector(building)
    return loaded


def check_writable(folder: Path) -> None:
    """Raise InputError if a detector could not be written there: before it is trained."""
    refuse_other_content(folder)
    parent = _resolved(folder).parent
    while not parent.exists():
        parent = parent.parent
    try:
        Path(tempfile.mkdtemp(dir=parent)).rmdir()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {one_line(error)}") from error


def refuse_other_content(folder: Path) -> None:
    """Raise InputError if `folder` is in use for anything but a detector.

    A detector, of whatever version, is a folder whose manifest says so and that holds its
    four files and no other: what is replaced is deleted, so nothing else may be in it.
    """
    target = _resolved(folder)
    try:
        if not os.path.lexists(target):
            return
        names = [path.name for path in target.iterdir()]
    except NotADirectoryError:
        raise _refused(folder, "a file") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be used: {one_line(error)}") from error
    if strangers := sorted(set(names) - set(NAMES)):
        raise _refused(folder, f"a folder with {strangers[0]!r} in it")
    if names and not _has_our_manifest(target):
        raise _refused(folder, f"a folder whose {MANIFEST} is not a detector's")


def _refused(folder: Path, found: str) -> InputError:
    return InputError(
        f"{folder}: expected a new folder or a detector to replace, "
        f"found something else ({found}); choose another --out"
    )


def _has_our_manifest(folder: Path) -> bool:
    try:
        text = read_file(folder / MANIFEST, MAX_MANIFEST_BYTES)
    except DetectorError:
        return False
    return manifests.is_of_a_detector(text)


def _resolved(folder: Path) -> Path:
    # Not Path.resolve(), which raises RuntimeError on links that point at each other.
    return Path(os.path.realpath(folder))


def _write(
    building: Path,
    detector: Detector,
    golden_NF: FloatArray,
    reference: dict[str, FloatArray],
    without_files: Manifest,
) -> LoadedDetector:
    # safetensors writes an array's memory as it lies, strides or not.
    golden_NF = np.ascontiguousarray(golden_NF)
    golden = {"readings": golden_NF, "scores": detector.score_series(golden_NF).score_B}
    manifest = msgspec.structs.replace(
        without_files,
        # As bytes: its own writing to a file raises no OSError when the disk is full.
        weights=_write_part(building, WEIGHTS, weights.encode(detector)),
        golden=_write_part(building, GOLDEN, safetensors.numpy.save(golden)),
        reference=_write_part(building, REFERENCE, safetensors.numpy.save(reference)),
    )
    (building / MANIFEST).write_bytes(manifests.encode(manifest))
    loaded = load(building)
    load_reference(building, loaded)
    load_whole(building, loaded)
    # For the worker, which mostly runs as another user.
    building.chmod(0o755)
    for file in building.iterdir():
        file.chmod(0o644)
    return loaded


def _write_part(building: Path, name: str, content: bytes) -> FilePart:
    (building / name).write_bytes(content)
    return FilePart(name, hashlib.sha256(content).hexdigest())
