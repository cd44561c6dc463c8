"""`pipeline promote` as a user meets it."""

from pathlib import Path

import pytest

from pipeline.registry.command import promote
from tests.builders import saved_detector
from tests.processes import command


def said(
    capsys: pytest.CaptureFixture[str],
    registry: Path,
    name: str | None = None,
    dry_run: bool = False,
) -> str:
    promote(registry, name, dry_run=dry_run)
    return capsys.readouterr().out


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved_detector(tmp_path / "2026-11-28")
    saved_detector(tmp_path / "2026-12-05", "vae", seed=1)
    return tmp_path


def test_it_says_what_changes_and_then_what_is_in_use(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = said(capsys, folder, "2026-11-28")
    assert first.splitlines()[-1] == f"{folder}/current is 2026-11-28 now"

    text = said(capsys, folder, "2026-12-05")

    rows = {line[:22].strip(): line for line in text.splitlines()}
    assert rows["detector"].split()[1:] == ["2026-11-28", "2026-12-05"]
    assert "ae x 2" in rows["model"]
    assert "vae x 2" in rows["model"]
    assert rows["false alarms promised"].count("0 per unit and day") == 2


def test_without_a_name_it_lists_the_detectors(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, folder, "2026-11-28")
    said(capsys, folder, "2026-12-05")
    (folder / "broken").mkdir()

    _, first, second, broken, why = said(capsys, folder).splitlines()

    assert first.split()[:2] == ["2026-11-28", "previous"]
    assert second.split()[:2] == ["2026-12-05", "current"]
    assert second.split()[3:6] == ["1970-01-02T00:00:00Z", "8", "3"]
    assert broken.split() == ["broken", "unreadable"]
    assert why.startswith(f"{folder}/broken/manifest.json: cannot be read")


def test_a_dry_run_and_a_second_time_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = said(capsys, folder, "2026-11-28", dry_run=True)
    assert dry.splitlines()[-1] == "2026-11-28 is good; nothing was switched (--dry-run)"

    said(capsys, folder, "2026-11-28")
    again = said(capsys, folder, "2026-11-28")

    assert again.splitlines()[-1] == "2026-11-28 is in use already"


def test_it_says_that_nobody_is_led_back_to_a_bad_detector(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, folder, "2026-11-28")
    (folder / "2026-11-28" / "weights.safetensors").write_bytes(b"")

    text = said(capsys, folder, "2026-12-05")

    assert (
        "2026-11-28 cannot be verified, so that previous stays unset: "
        f"{folder}/2026-11-28/weights.safetensors: "
    ) in text
    assert not (folder / "previous").is_symlink()


@pytest.mark.parametrize(
    "arguments", [("promote", ""), ("promote", "", "2026-12-05"), ("compare", "", "b", "c")]
)
def test_an_empty_path_is_refused(arguments: tuple[str, ...]) -> None:
    done = command("pipeline", *arguments)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: expected a path, got an empty one; ")


def test_a_bad_detector_is_one_line_and_exit_code_2(folder: Path) -> None:
    (folder / "2026-12-05" / "weights.safetensors").write_bytes(b"")

    done = command("pipeline", "promote", str(folder), "2026-12-05")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {folder}/2026-12-05/weights.safetensors: ")
    assert not (folder / "current").is_symlink()
