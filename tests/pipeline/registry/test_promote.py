"""Which detector of a folder is in use, and that it is always a whole one."""

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.detector.artifact import WEIGHTS, load
from pipeline.errors import DetectorError, InputError
from pipeline.registry.folder import CURRENT, PREVIOUS, Registry
from pipeline.registry.promote import Promotion, open_registry, promote
from tests.builders import saved_detector

NAMES = ("2026-11-28", "2026-12-05", "2026-12-12")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three detectors, none in use."""
    for seed, name in enumerate(NAMES):
        saved_detector(tmp_path / name, seed=seed)
    return open_registry(tmp_path)


def to(registry: Registry, name: str | None) -> Promotion:
    return promote(registry, name, is_dry_run=False)


def links(registry: Registry) -> tuple[str | None, str | None]:
    return registry.target(CURRENT), registry.target(PREVIOUS)


def hidden(registry: Registry) -> list[str]:
    return [name for name in os.listdir(registry.folder) if name.startswith(".")]


def test_current_leads_to_what_was_promoted_and_previous_to_the_one_before(
    registry: Registry,
) -> None:
    to(registry, NAMES[0])
    assert links(registry) == (NAMES[0], None)

    to(registry, NAMES[1])

    assert links(registry) == (NAMES[1], NAMES[0])
    assert load(registry.folder / CURRENT).digest == load(registry.folder / NAMES[1]).digest
    assert hidden(registry) == []


def test_the_links_are_relative_so_that_the_folder_may_be_mounted_anywhere(
    registry: Registry, tmp_path: Path
) -> None:
    to(registry, NAMES[0])
    moved = registry.folder.rename(tmp_path.parent / f"{tmp_path.name}-moved")

    assert os.readlink(moved / CURRENT) == NAMES[0]
    load(moved / CURRENT)


def test_the_way_back_is_to_the_one_before_and_then_forth_again(registry: Registry) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[2])

    to(registry, None)
    assert links(registry) == (NAMES[0], NAMES[2])

    to(registry, None)
    assert links(registry) == (NAMES[2], NAMES[0])


def test_there_is_no_way_back_from_the_first(registry: Registry) -> None:
    to(registry, NAMES[0])

    with pytest.raises(InputError, match=f"no detector before {NAMES[0]}"):
        to(registry, None)


def test_what_is_in_use_already_changes_nothing(registry: Registry) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[1])

    to(registry, NAMES[1])

    assert links(registry) == (NAMES[1], NAMES[0])


def test_a_damaged_detector_is_refused_and_the_old_one_stays(registry: Registry) -> None:
    to(registry, NAMES[0])
    weights = registry.folder / NAMES[1] / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")

    with pytest.raises(DetectorError, match="SHA-256"):
        to(registry, NAMES[1])

    assert links(registry) == (NAMES[0], None)


def test_nobody_is_led_back_to_a_detector_that_cannot_be_read(registry: Registry) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[1])
    (registry.folder / NAMES[1] / "manifest.json").unlink()

    promotion = to(registry, NAMES[2])

    assert promotion.old is not None
    assert "cannot be read" in promotion.old.problem
    assert links(registry) == (NAMES[2], NAMES[0])


def by_hand(registry: Registry, name: str) -> None:
    """Have `current` lead somewhere, unverified."""
    (registry.folder / CURRENT).unlink()
    (registry.folder / CURRENT).symlink_to(name)


@pytest.mark.parametrize("name", [NAMES[2], None])
def test_nobody_is_led_back_to_a_detector_that_cannot_be_verified(
    registry: Registry, name: str | None
) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[1])
    saved_detector(registry.folder / "bad", seed=9)
    (registry.folder / "bad" / WEIGHTS).write_bytes(b"")
    by_hand(registry, "bad")

    promotion = to(registry, name)

    assert promotion.old is not None
    assert "weights.safetensors" in promotion.old.problem
    assert promotion.previous == NAMES[0]
    assert links(registry) == (name or NAMES[0], NAMES[0])


def test_nobody_is_led_back_to_a_link(registry: Registry) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[1])
    (registry.folder / "alias").symlink_to(NAMES[1])
    by_hand(registry, "alias")

    to(registry, NAMES[2])

    assert links(registry) == (NAMES[2], NAMES[0])


def test_a_dry_run_verifies_and_switches_nothing(registry: Registry) -> None:
    promotion = promote(registry, NAMES[0], is_dry_run=True)

    assert promotion.new.digest == load(registry.folder / NAMES[0]).digest
    assert links(registry) == (None, None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (CURRENT, "that is a link"),
        (PREVIOUS, "that is a link"),
        ("", "expected the name of a folder"),
        (".", "expected the name of a folder"),
        ("..", "expected the name of a folder"),
        (".2026-12-05-x1", "expected the name of a folder"),
        ("../2026-11-28", "expected the name of a folder"),
        ("2026-11-28/", "expected the name of a folder"),
        ("/2026-11-28", "expected the name of a folder"),
        ("2026-11-28\0", "expected the name of a folder"),
        ("2026-11-28\n", "expected the name of a folder"),
        ("2026-11-29", "no such folder; in .* there are 2026-11-28, 2026-12-05"),
        ("alias", "that is a link, and may lead anywhere"),
    ],
)
def test_a_name_is_that_of_a_folder_of_the_registry(
    registry: Registry, name: str, said: str
) -> None:
    (registry.folder / "alias").symlink_to(registry.folder / NAMES[0])

    with pytest.raises(InputError, match=said):
        to(registry, name)


@pytest.mark.parametrize(
    "target", ["/etc", "..", "../2026-11-28", ".", "current", "previous", "a/../../b/c"]
)
@pytest.mark.parametrize("link", [CURRENT, PREVIOUS])
def test_a_link_that_leads_out_of_the_registry_is_refused(
    registry: Registry, link: str, target: str
) -> None:
    (registry.folder / link).symlink_to(target)

    with pytest.raises(InputError, match=f"{link}: expected a link to a detector in"):
        to(registry, NAMES[0])

    assert os.readlink(registry.folder / link) == target


def test_an_absolute_link_to_a_detector_of_the_registry_will_do(registry: Registry) -> None:
    (registry.folder / CURRENT).symlink_to(registry.folder / NAMES[0])

    to(registry, NAMES[1])

    assert os.readlink(registry.folder / PREVIOUS) == NAMES[0]


def test_a_folder_called_current_is_not_replaced(registry: Registry) -> None:
    saved_detector(registry.folder / CURRENT)

    with pytest.raises(InputError, match="found a folder; rename it"):
        to(registry, NAMES[0])

    load(registry.folder / CURRENT)


def test_a_detector_is_no_registry(registry: Registry) -> None:
    with pytest.raises(InputError, match="that is a detector; expected the folder"):
        open_registry(registry.folder / NAMES[0])


def test_a_registry_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        open_registry(tmp_path / "detectors")


class Crash(BaseException):
    """As a kill: nothing catches it."""


@pytest.mark.parametrize(
    ("name", "left"),
    [
        # On the way to a new detector the old one goes on.
        (NAMES[2], (NAMES[1], NAMES[1])),
        # On the way back the one to go back to is there.
        (None, (NAMES[0], NAMES[0])),
    ],
)
def test_a_crash_between_both_switches_leaves_links_that_agree(
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    left: tuple[str, str],
) -> None:
    to(registry, NAMES[0])
    to(registry, NAMES[1])
    replace = os.replace
    n_replaced = 0

    def replace_once(source: Path, target: Path) -> None:
        nonlocal n_replaced
        n_replaced += 1
        if n_replaced > 1:
            raise Crash
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace_once)
        with pytest.raises(Crash):
            to(registry, name)

    assert links(registry) == left
    with pytest.raises(InputError, match="no detector before"):
        to(registry, None)
    to(registry, NAMES[2])
    assert links(registry) == (NAMES[2], left[0])


@pytest.mark.parametrize("has_locks", [True, False])
def test_several_at_once_leave_both_links_whole(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, has_locks: bool
) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError("No locks available")

    if not has_locks:
        monkeypatch.setattr(fcntl, "flock", no_locks)
    with ThreadPoolExecutor(3) as threads:
        promotions = list(threads.map(lambda name: to(registry, name), NAMES))

    current, previous = links(registry)
    assert current in NAMES
    assert previous in (*NAMES, None)
    assert hidden(registry) == []
    if has_locks:
        next_of = {p.old.name if p.old else None: p.new.name for p in promotions}
        order = [next_of[None]]
        while order[-1] in next_of:
            order.append(next_of[order[-1]])
        assert sorted(order) == list(NAMES)
        assert (current, previous) == (order[-1], order[-2])
