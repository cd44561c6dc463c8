"""Replacing a detector: whatever goes wrong, the old one or the new one is whole."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from pipeline.detector import replace
from pipeline.detector.artifact import load
from pipeline.detector.manifest_parts import ElboPart, ScalerPart
from pipeline.errors import DetectorError, InputError
from tests.builders import saved_detector as write


def beside(folder: Path) -> list[str]:
    """What stands beside a detector, with it."""
    return sorted(path.name for path in folder.parent.iterdir())


def test_a_save_that_fails_leaves_no_half_written_folder_and_the_old_one_whole(
    folder: Path,
) -> None:
    old = load(folder)
    other_threshold = msgspec.structs.replace(old.manifest.threshold, value=0.9)

    with pytest.raises(DetectorError, match="not the detector that was trained") as failure:
        write(folder, seed=1, threshold=other_threshold)

    assert str(failure.value).startswith(f"{folder}:")
    assert load(folder).digest == old.digest
    assert beside(folder) == ["pumps"]


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [0, 1000])
def test_a_disk_that_takes_no_more_is_one_line(n_bytes: int, folder: Path) -> None:
    old = load(folder)

    with (
        pytest.raises(InputError, match=r"cannot be written: .*too large") as failure,
        files_of_at_most(n_bytes),
    ):
        write(folder, seed=1)

    assert "\n" not in str(failure.value)
    assert load(folder).digest == old.digest
    assert beside(folder) == ["pumps"]


def test_more_sensors_than_a_manifest_may_have_is_one_line(tmp_path: Path) -> None:
    names = [f"sensor-{f}" for f in range(10_001)]
    scaler = ScalerPart("pooled", 0.0, [0.0] * len(names), [1.0] * len(names), [])

    with pytest.raises(InputError, match=r"cannot be written: .*10000") as failure:
        write(tmp_path / "pumps", sensors=names, scaler=scaler, score=ElboPart(True, 1.0))

    assert "\n" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def without_exchange(one: Path, other: Path) -> bool:
    return False


def test_a_file_system_that_cannot_exchange_names_replaces_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replace, "exchange", without_exchange)

    saved = write(folder, seed=1)

    assert load(folder).digest == saved.digest
    assert beside(folder) == ["pumps"]


def test_exchanging_swaps_two_folders_and_tells_when_it_did_not(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "was").write_text(name)

    # Whether a file system can do it is its own affair; what it says must be so.
    is_swapped = replace.exchange(tmp_path / "one", tmp_path / "other")

    now = [(tmp_path / name / "was").read_text() for name in ("one", "other")]
    assert now == (["other", "one"] if is_swapped else ["one", "other"])
    assert not replace.exchange(tmp_path / "one", tmp_path / "nowhere")


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1), OSError("no")])
@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("at", [1, 2])
def test_stopped_at_any_rename_one_detector_is_whole_where_it_belongs(
    at: int,
    is_done: bool,
    stop: BaseException,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = write(folder.parent / "new", seed=1).digest
    shutil.rmtree(folder.parent / "new")
    old = load(folder).digest
    rename, n_renames = Path.rename, 0

    def stopped(self: Path, target: Path) -> Path:
        nonlocal n_renames
        n_renames += 1
        if n_renames == at and not is_done:
            raise stop
        renamed = rename(self, target)
        if n_renames == at:
            raise stop
        return renamed

    monkeypatch.setattr(replace, "exchange", without_exchange)
    monkeypatch.setattr(Path, "rename", stopped)

    expected = InputError if isinstance(stop, OSError) else type(stop)
    with pytest.raises(expected):
        write(folder, seed=1)

    assert load(folder).digest == (new if at == 2 and is_done else old)


def test_where_putting_back_fails_too_the_old_detector_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = load(folder).digest
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == folder:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(replace, "exchange", without_exchange)
    monkeypatch.setattr(Path, "rename", failing)

    with pytest.raises(InputError, match="the detector that stood there is now") as failure:
        write(folder, seed=1)

    [aside] = folder.parent.iterdir()
    assert str(aside) in str(failure.value)
    assert load(aside).digest == old
