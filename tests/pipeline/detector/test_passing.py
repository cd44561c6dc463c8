"""What may pass by itself is told apart from a folder that must not be used."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.detector import weights
from pipeline.detector.artifact import WEIGHTS, load
from pipeline.errors import DetectorError


def fails(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def refused(folder: Path) -> DetectorError:
    with pytest.raises(DetectorError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0.\n"
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    ],
)
def test_to_lack_memory_is_one_line_and_may_pass(
    error: Exception, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "read", fails(error))

    refusal = refused(folder)

    assert refusal.is_passing
    assert f"{folder}: not enough memory" in str(refusal)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES, errno.ENOMEM])
def test_a_disk_that_does_not_answer_is_one_line_and_may_pass(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", fails(OSError(number, os.strerror(number))))

    refusal = refused(folder)

    assert refusal.is_passing
    assert f"cannot be read ({os.strerror(number)})" in str(refusal)


def test_any_other_failure_of_torch_is_one_line_and_does_not_pass(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "read", fails(RuntimeError("shapes\ndiffer")))

    refusal = refused(folder)

    assert not refusal.is_passing
    assert f"{folder}: cannot be loaded (shapes differ)" in str(refusal)


def is_missing(path: Path) -> None:
    path.unlink()


def is_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def is_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def is_damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("change", [is_missing, is_a_link, is_a_folder, is_damaged])
def test_a_folder_that_must_change_first_does_not_pass(
    change: Callable[[Path], None], folder: Path
) -> None:
    change(folder / WEIGHTS)

    assert not refused(folder).is_passing
