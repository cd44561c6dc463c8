"""A detector's folder: written whole or not at all, and read back the same."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector.artifact import GOLDEN, MANIFEST, REFERENCE, WEIGHTS, load, save
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES
from pipeline.detector.scoring import Scoring
from pipeline.errors import InputError
from tests import builders
from tests.builders import SENSORS, residual_scoring, sensor_series
from tests.builders import saved_detector as write

RESIDUAL = residual_scoring(("burst", 1), ("shift", 4), ("burst", 8))
LEARNED = replace(
    residual_scoring(("shift", 2), n_sensors=2),
    trust_F=np.array([0.3, 1.0, 0.0], np.float32),
    is_scored_F=np.array([True, False, True]),
)


@pytest.mark.parametrize(
    ("families", "scoring"),
    [
        *((family, RESIDUAL) for family in sorted(FAMILIES)),
        ("vae+gru+dae", LEARNED),
        ("vae", ElboScoring(has_kl=True, limit=30.0)),
        ("dvae", ElboScoring(has_kl=False, limit=30.0)),
    ],
)
def test_a_saved_and_loaded_detector_scores_the_same_to_the_bit(
    families: str, scoring: Scoring, tmp_path: Path
) -> None:
    values_NF = sensor_series(100, seed=3)
    expected = builders.detector(families, scoring=scoring).score_series(values_NF)

    saved = write(tmp_path / "pumps", families, scoring=scoring)
    loaded = load(tmp_path / "pumps")

    for detector in (saved.detector, loaded.detector):
        found = detector.score_series(values_NF)
        for column, expected_column in zip(found, expected, strict=True):
            np.testing.assert_array_equal(column, expected_column)
    assert saved.digest == loaded.digest
    assert saved.manifest == loaded.manifest


def test_a_manifest_names_the_families_and_how_many_networks_of_each(
    tmp_path: Path,
) -> None:
    manifest = write(tmp_path / "pumps", "vae+dae").manifest

    assert manifest.model == "vae x 2 + dae x 2"
    assert manifest.window == 8


def test_a_detector_of_one_golden_window_is_loaded(tmp_path: Path) -> None:
    detector = builders.detector()
    golden_NF = sensor_series(detector.window)
    manifest = builders.manifest(detector)

    save(tmp_path / "pumps", detector, golden_NF, builders.REFERENCE_BTF, manifest)

    assert load(tmp_path / "pumps").detector.sensors == SENSORS


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
