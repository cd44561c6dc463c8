"""Saving where something stands: a detector gives way, anything else stays."""

import json
from pathlib import Path

import pytest

from pipeline.detector import replace
from pipeline.detector.artifact import MANIFEST, WEIGHTS, load, refuse_other_content
from pipeline.errors import InputError
from tests.builders import saved_detector as write


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "files",
    [
        {"chapter-1.txt": "precious"},
        {MANIFEST: '{"name": "a web page", "icons": []}'},
        {MANIFEST: '{"schema": "package/1"}', "main.js": ""},
        {MANIFEST: '{"schema": 1}'},
        {MANIFEST: "[]"},
        {MANIFEST: "\xff"},
        {MANIFEST: ""},
        {WEIGHTS: "somebody's"},
        {MANIFEST: '{"schema": "detector/1"}', "notes.txt": "precious"},
        {MANIFEST: '{"schema": "detector/1"}', "more/notes.txt": "precious"},
    ],
)
def test_a_folder_that_holds_anything_but_a_detector_is_left_alone(
    files: dict[str, str], tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    before = contents(tmp_path)

    for attempt in (refuse_other_content, write):
        with pytest.raises(InputError, match="choose another --out") as refusal:
            attempt(tmp_path / "out")
        assert "\n" not in str(refusal.value)

    assert contents(tmp_path) == before


def test_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("precious")

    with pytest.raises(InputError, match=r"\(a file\); choose another --out"):
        write(tmp_path / "thesis")

    assert (tmp_path / "thesis").read_text() == "precious"


def test_a_note_put_beside_a_detectors_files_keeps_it_from_being_replaced(
    folder: Path,
) -> None:
    (folder / "notes.txt").write_text("precious")
    before = contents(folder)

    with pytest.raises(InputError, match=r"'notes\.txt' in it"):
        write(folder, seed=1)

    assert contents(folder) == before


def test_a_note_put_there_while_a_detector_is_replaced_survives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchange(one: Path, other: Path) -> bool:
        (other / "notes.txt").write_text("precious")
        return swap(one, other)

    swap = replace.exchange
    monkeypatch.setattr(replace, "exchange", exchange)

    write(folder, seed=1)

    [note] = folder.parent.rglob("notes.txt")
    assert note.read_text() == "precious"


def test_a_detector_of_another_version_is_replaced(folder: Path) -> None:
    fields = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**fields, "schema": "detector/99"}))

    saved = write(folder, seed=1)

    assert load(folder).digest == saved.digest


@pytest.mark.parametrize("is_there", [True, False])
def test_through_a_link_the_folder_it_points_to_is_written(
    is_there: bool, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "pumps", tmp_path / "current"
    if is_there:
        write(target)
    link.symlink_to(target)

    saved = write(link, seed=1)

    assert link.readlink() == target
    assert load(target).digest == load(link).digest == saved.digest
    assert sorted(tmp_path.iterdir()) == [link, tmp_path / "disk"]
    assert list(target.parent.iterdir()) == [target]


def test_links_that_point_at_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with pytest.raises(InputError, match="cannot be used"):
        write(tmp_path / "a")
