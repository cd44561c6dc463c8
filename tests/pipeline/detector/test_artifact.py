"""A detector's folder: written whole or not at all, and read back the same."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.artifact import GOLDEN, MANIFEST, REFERENCE, WEIGHTS, load
from pipeline.detector.families import FAMILIES
from pipeline.errors import InputError
from tests import builders
from tests.builders import saved_detector as write
from tests.builders import sensor_series, windows_of


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_saved_and_loaded_detector_scores_the_same_to_the_bit(
    family: str, tmp_path: Path
) -> None:
    windows_BTF = windows_of(sensor_series(100, seed=3))
    expected = builders.detector(family).score(windows_BTF)

    saved = write(tmp_path / "pumps", family)
    loaded = load(tmp_path / "pumps")

    for detector in (saved.detector, loaded.detector):
        for column, expected_column in zip(
            detector.score(windows_BTF), expected, strict=True
        ):
            np.testing.assert_array_equal(column, expected_column)
    assert saved.digest == loaded.digest
    assert saved.manifest == loaded.manifest


def test_a_folder_holds_four_files_that_anyone_may_read(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [MANIFEST, WEIGHTS, GOLDEN, REFERENCE]
    )
    assert folder.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in folder.parent.iterdir()] == ["pumps"]


def test_the_same_detector_has_the_same_digest_and_another_has_another(
    tmp_path: Path,
) -> None:
    first, again = write(tmp_path / "first"), write(tmp_path / "again")
    other = write(tmp_path / "other", seed=1)

    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.digest == json.loads((tmp_path / "first" / MANIFEST).read_text())["digest"]


def test_saving_replaces_a_detector(folder: Path) -> None:
    saved = write(folder, seed=1)

    assert load(folder).digest == saved.digest
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [MANIFEST, WEIGHTS, GOLDEN, REFERENCE]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["pumps"]


def test_saving_makes_the_folders_above(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "pumps")

    assert load(tmp_path / "a" / "b" / "pumps").manifest.name == "pumps"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "pumps").mkdir()

    write(tmp_path / "pumps")

    assert load(tmp_path / "pumps").manifest.name == "pumps"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "pumps")
