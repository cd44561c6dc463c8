"""Switching a registry to another detector, once that one is known to be good."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.detector import manifest as manifests
from pipeline.detector.artifact import MANIFEST, load
from pipeline.detector.files import MAX_MANIFEST_BYTES, read_file
from pipeline.detector.manifest import Manifest
from pipeline.errors import DetectorError, InputError
from pipeline.registry.folder import CURRENT, PREVIOUS, Registry, flush_detector


@dataclass(frozen=True, slots=True)
class Known:
    """One detector of a registry, as its manifest describes it."""

    name: str
    """Of its folder."""
    manifest: Manifest | None
    """None where it cannot be read."""
    digest: str
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """From which detector to which."""

    old: Known | None
    """None at first."""
    new: Known


def promote(
    registry: Registry,
    name: str | None,
    is_dry_run: bool,
    on_verified: Callable[[Promotion], None] = lambda promotion: None,
) -> Promotion:
    """Have `current` lead to a verified detector, and `previous` to the one before.

    If it is in use already, nothing changes. `previous` is never led to a detector that
    cannot be read: nobody could go back to it. Whatever stops a call between its two
    switches, both links lead to whole detectors: to the old one if it was on its way to
    a new one, and to the one before if on its way back. There they agree, so that another
    `--back` is refused rather than led one too far.

    Args:
        registry: where.
        name: the detector; None for the one that was in use before.
        is_dry_run: only verify.
        on_verified: told what will change, before it does.

    Raises:
        DetectorError: the detector must not be used; all stays as it was.
        InputError: there is no such detector, or a link cannot be used or written.
    """
    with registry.locked():
        old_name, previous = registry.target(CURRENT), registry.target(PREVIOUS)
        is_back = name is None
        if name is None:
            name = _before(registry, old_name, previous)
        folder = registry.detector(name)
        loaded = load(folder)
        old = None if old_name is None else known(registry, old_name)
        new = Known(name, loaded.manifest, loaded.digest)
        promotion = Promotion(old, new)
        on_verified(promotion)
        if is_dry_run or name == old_name:
            return promotion
        flush_detector(folder)
        switches = [(CURRENT, name)]
        if old is not None and old.manifest is not None:
            switches.insert(1 if is_back else 0, (PREVIOUS, old.name))
        for link, target in switches:
            registry.switch(link, target)
    return promotion


def _before(registry: Registry, current: str | None, previous: str | None) -> str:
    if previous is None or previous == current:
        raise InputError(
            f"{registry.folder}: there is no detector before {current or 'the first'}; "
            f"promote one by its name, see `pipeline promote {registry.folder}`"
        )
    return previous


def known(registry: Registry, name: str) -> Known:
    """What a detector's manifest says. It is not verified any further."""
    path = registry.folder / name / MANIFEST
    try:
        text = read_file(path, MAX_MANIFEST_BYTES)
        manifest = manifests.decode(text, str(path))
    except DetectorError as error:
        return Known(name, None, "", str(error))
    return Known(name, manifest, manifests.digest(manifest))


def open_registry(folder: Path) -> Registry:
    """The registry of a folder that is none itself a detector.

    Raises:
        InputError: it cannot be read, or is a detector.
    """
    registry = Registry(folder)
    if (folder / MANIFEST).exists():
        raise InputError(
            f"{folder}: that is a detector; expected the folder that holds detectors, each "
            f"in a folder of its own: {folder.resolve().parent}"
        )
    return registry
