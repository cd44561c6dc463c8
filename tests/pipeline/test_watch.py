"""A folder that is looked after: another detector is found once, what is none never."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import watch
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.files import MANIFEST, NAMES, WEIGHTS
from pipeline.errors import DetectorError
from pipeline.watch import AsBefore, DetectorWatch, Refused
from tests import builders
from tests.support import wait_until

Found = str | Refused | AsBefore


class Clock:
    """Looks every second, as fast as each look is done."""

    def __init__(self, folder: Path, every_s: float = 1.0) -> None:
        self.now_s = 0.0
        self.built: list[str] = []
        self.watch = DetectorWatch(folder, self._build, every_s)

    def _build(self, loaded: LoadedDetector) -> str:
        self.built.append(loaded.digest)
        return loaded.digest

    def looks(self, n: int = 3) -> list[Found]:
        """What so many looks have found."""
        found = []
        for _ in range(n):
            self.now_s += 1.0
            assert self.watch.look(self.now_s) is None
            looking = self.watch._looking
            assert looking is not None
            wait_until(looking.done, "the look is done")
            if (one := self.watch.look(self.now_s)) is not None:
                found.append(one)
        return found


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Two detectors, and `current`, a link to one of them."""
    for seed in (1, 2):
        builders.saved_detector(tmp_path / f"v{seed}", seed=seed)
    switch(tmp_path, "v1")
    return tmp_path


def switch(registry: Path, name: str) -> None:
    link = registry / ".new"
    link.symlink_to(name)
    link.replace(registry / "current")


def digest(folder: Path) -> str:
    return DetectorWatch(folder, lambda loaded: loaded.digest, 0.0).first(0.0)


def by_link(registry: Path) -> None:
    switch(registry, "v2")


def by_training_again(registry: Path) -> None:
    builders.saved_detector(registry / "v1", seed=2)


def by_copying(registry: Path) -> None:
    for name in NAMES:
        shutil.copy(registry / "v2" / name, registry / "v1" / name)


@pytest.mark.parametrize("replace", [by_link, by_training_again, by_copying])
def test_another_detector_is_given_out_once(
    registry: Path, replace: Callable[[Path], None]
) -> None:
    clock = Clock(registry / "current")
    first = clock.watch.first(0.0)
    assert clock.looks() == []

    replace(registry)

    assert clock.looks(5) == [digest(registry / "current")] != [first]
    assert len(clock.built) == 2


def test_what_is_being_written_is_not_looked_into(registry: Path) -> None:
    clock = Clock(registry / "v1")
    clock.watch.first(0.0)

    for name in NAMES:
        shutil.copy(registry / "v2" / name, registry / "v1" / name)
        assert clock.looks(1) == []

    assert clock.looks() == [digest(registry / "v2")]


def test_a_damaged_one_is_refused_once_and_looked_at_again_when_it_has_changed(
    registry: Path,
) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    weights = registry / "v2" / WEIGHTS
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    switch(registry, "v2")

    (refused,) = clock.looks(5)
    weights.write_bytes(good)

    assert isinstance(refused, Refused)
    assert "SHA-256" in refused.reason
    assert clock.looks() == [digest(registry / "v2")]


@pytest.mark.parametrize("name", ["nowhere", "../v1/manifest.json"])
def test_a_link_to_what_is_no_detector_is_refused(registry: Path, name: str) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    switch(registry, name)

    (refused,) = clock.looks()

    assert isinstance(refused, Refused)
    assert "\n" not in refused.reason


def test_going_back_to_the_one_in_use_is_seen(registry: Path) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    switch(registry, "nowhere")
    clock.looks()

    switch(registry, "v1")
    shutil.copytree(registry / "v1", registry / "copy")
    assert clock.looks() == [AsBefore()]
    switch(registry, "copy")
    assert clock.looks() == [AsBefore()]


def test_a_device_without_room_for_it_refuses_it(registry: Path) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)

    def build(loaded: LoadedDetector) -> str:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    clock.watch._build = build
    switch(registry, "v2")

    reason = "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"
    assert clock.looks() == [Refused(reason)]


@pytest.mark.parametrize("error", [MemoryError("no room"), KeyError("nobody foresaw it")])
def test_what_may_pass_is_told_once_and_tried_again_ever_less_often(
    registry: Path, error: Exception
) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    tried_at_s = []

    def build(loaded: LoadedDetector) -> str:
        tried_at_s.append(clock.now_s)
        raise error

    good, clock.watch._build = clock.watch._build, build
    switch(registry, "v2")
    (refused,) = clock.looks(40)
    assert isinstance(refused, Refused)
    pauses_s = np.diff(tried_at_s)
    assert len(pauses_s) > 3
    assert (np.diff(pauses_s) > 0).all()

    clock.watch._build = good
    assert clock.looks(40) == [digest(registry / "v2")]


def test_what_is_damaged_is_not_loaded_again_as_long_as_it_stays_as_it_is(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    os.truncate(registry / "v2" / WEIGHTS, 10)
    switch(registry, "v2")
    clock.looks()

    loads: list[Path] = []
    monkeypatch.setattr(watch, "load", loads.append)
    assert clock.looks(40) == []
    assert loads == []


def test_what_may_be_read_only_now_is_looked_at_again(registry: Path) -> None:
    clock = Clock(registry / "current")
    clock.watch.first(0.0)
    os.truncate(registry / "v2" / WEIGHTS, 10)
    switch(registry, "v2")
    clock.looks()
    assert clock.looks() == []

    (registry / "v2" / WEIGHTS).chmod(0o600)
    (refused,) = clock.looks()
    assert isinstance(refused, Refused)


def test_one_that_was_declined_is_not_in_use(registry: Path) -> None:
    clock = Clock(registry / "current")
    first = clock.watch.first(0.0)
    switch(registry, "v2")
    (second,) = clock.looks()
    clock.watch.decline(first)

    assert clock.looks() == []
    switch(registry, "v1")
    assert clock.looks() == [AsBefore()]
    switch(registry, "v2")
    assert clock.looks() == [second]


def test_the_first_one_must_be_good(registry: Path) -> None:
    os.truncate(registry / "v1" / MANIFEST, 10)

    with pytest.raises(DetectorError, match=MANIFEST):
        Clock(registry / "current").watch.first(0.0)


def test_with_0_it_never_looks(registry: Path) -> None:
    watch = DetectorWatch(registry / "current", lambda loaded: loaded.digest, 0.0)
    watch.first(0.0)
    switch(registry, "v2")

    assert watch.look(1e9) is None
    assert watch._looking is None
