"""`--corrupt`: how it is read, and what it changes."""

from pathlib import Path

import pytest

from pipeline.detector.artifact import load
from tests import builders
from tests.trainer.training import Command, quick
from trainer.corrupt import parse_corrupt


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", {}),
        ("noise:0.5", {"noise": 0.5}),
        (
            "noise:1, sensors:0.25,stretches:0.1",
            {"noise": 1.0, "sensors": 0.25, "stretches": 0.1},
        ),
    ],
)
def test_parts_are_named_and_separated_by_commas(
    text: str, parts: dict[str, float]
) -> None:
    assert parse_corrupt(text) == parts


@pytest.mark.parametrize(
    "text",
    ["noise", "noise:x", "noise:-1", "noise:nan", "noise:11", "hum:1", "noise:1,noise:1"],
)
def test_anything_else_is_refused_in_one_line(
    text: str, tmp_path: Path, run_trainer: Command
) -> None:
    out = tmp_path / "pumps"

    ended = run_trainer("fit", "none.csv", "--out", str(out), "--corrupt", text)

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "TRAINER_CORRUPT" in ended.stderr
    assert not out.exists()


def test_the_manifest_says_what_training_did(tmp_path: Path) -> None:
    quick(tmp_path / "pumps", corrupt="noise:1")

    settings = load(tmp_path / "pumps").manifest.training.settings
    assert settings["corrupt"] == "noise:1"


@pytest.mark.parametrize("model", ["ae", "vae", "dae", "conv", "gru"])
def test_every_family_trains_otherwise_on_corrupted_windows(
    model: str, tmp_path: Path
) -> None:
    history = builders.history(builders.sensor_series(400))
    as_it_is = quick(tmp_path / "a", history, model)

    corrupted = quick(
        tmp_path / "b", history, model, corrupt="noise:1,sensors:0.1,stretches:0.2"
    )

    weights = [t.loaded.manifest.weights.sha256 for t in (as_it_is, corrupted)]
    assert weights[0] != weights[1]


def test_dropped_sensors_are_what_dae_does_by_itself(tmp_path: Path) -> None:
    by_itself = quick(tmp_path / "a", model="dae")
    asked_for = quick(tmp_path / "b", model="ae", corrupt="sensors:0.25")

    weights = [t.loaded.manifest.weights.sha256 for t in (by_itself, asked_for)]
    assert weights[0] == weights[1]
