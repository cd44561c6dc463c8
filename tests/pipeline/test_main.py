"""The `pipeline` command line, as a user meets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import saved_detector
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


def imported(*arguments: str) -> set[str]:
    """Every module that a Python process with these arguments loads."""
    listing = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr
    return {line.rpartition("|")[2].strip() for line in listing.splitlines()}


def test_help_needs_neither_torch_nor_kafka() -> None:
    modules = imported("-m", "pipeline", "run", "--help")

    assert modules.isdisjoint({"torch", "kafka", "numpy", "rich"})


def test_a_detector_is_loaded_without_torchs_compiler(tmp_path: Path) -> None:
    saved_detector(tmp_path / "pumps")
    load = "import sys; from pathlib import Path; from pipeline.detector import artifact; "
    load += "artifact.load(Path(sys.argv[1]))"

    modules = imported("-c", load, str(tmp_path / "pumps"))

    assert "torch" in modules
    assert modules.isdisjoint({"torch._dynamo", "triton", "sympy"})


def test_the_line_holds_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    folder, data = f"{tmp_path}/\x1b[31mred\x9b", str(tmp_path / "data.csv")

    done = command("pipeline", "score", folder, data, "--out", str(tmp_path / "out.csv"))

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/�[31mred�")
