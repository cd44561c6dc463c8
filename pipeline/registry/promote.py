"""Switching a registry to another detector, once that one is known to be good."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """Why it cannot be read; of a promotion, why it cannot be verified."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """From which detector to which."""

    old: Known | None
    """None at first."""
    new: Known
    previous: str | None
    """Where `previous` leads then; None if nowhere."""


def promote(
    registry: Registry,
    name: str | None,
    is_dry_run: bool,
    on_verified: Callable[[Promotion], None] = lambda promotion: None,
) -> Promotion:
    """Have `current` lead to a verified detector, and `previous` to the one before.

    If it is in use already, nothing changes. `previous` is led to none but a verified
    detector: nobody could go back to another, and the one that it leads to would be
    forgotten. Whatever stops a call between its two switches, both links lead to whole
    detectors: to the old one if it was on its way to a new one, and to the one before if on
    its way back. There they agree, so that another `--back` is refused rather than led one
    too far.

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
        new = _verified(registry, name)
        old = new if name == old_name else _old(registry, old_name)
        is_old_good = old is not None and name != old_name and not old.problem
        promotion = Promotion(old, new, old_name if is_old_good else previous)
        on_verified(promotion)
        if is_dry_run or name == old_name:
            return promotion
        flush_detector(registry.detector(name))
        switches = [(CURRENT, name)]
        if old_name is not None and is_old_good:
            switches.insert(1 if is_back else 0, (PREVIOUS, old_name))
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


def _verified(registry: Registry, name: str) -> Known:
    loaded = load(registry.detector(name))
    return Known(name, loaded.manifest, loaded.digest)


def _old(registry: Registry, name: str | None) -> Known | None:
    """What is in use, and what is wrong with it."""
    if name is None:
        return None
    try:
        return _verified(registry, name)
    except InputError as error:
        return replace(known(registry, name), problem=str(error))


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
