"""The `pipeline` command line, as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import command


def test_score_of_a_missing_detector_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("time,pressure\n1,2\n")

    done = command("pipeline", "score", str(tmp_path), str(data), "--out", "scores.csv")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/manifest.json: cannot be read")


@pytest.mark.parametrize("arguments", [["run", "--prot", "1"], ["fly"], ["kafka"]])
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str]) -> None:
    assert command("pipeline", *arguments).returncode == 2


def test_a_worker_without_a_detector_says_which_setting_is_missing() -> None:
    done = command("pipeline", "run")

    assert done.returncode == 2
    assert done.stderr == "error: PIPELINE_DETECTOR is not set\n"


def test_help_needs_neither_torch_nor_kafka() -> None:
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr
    imported = {line.rpartition("|")[2].strip() for line in listing.splitlines()}
    assert imported.isdisjoint({"torch", "kafka", "numpy"})
