"""`pipeline demo` as a user runs it."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.detector import artifact
from tests.support import wait_until

TIMEOUT_S = 240.0


def descendants(pid: int) -> set[int]:
    """Processes that this one has started, and those that they have."""
    parent_of = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        parent_of[int(status.parent.name)] = int(fields[1])
    found = {pid}
    while more := {p for p, parent in parent_of.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def demo(tmp_path: Path) -> subprocess.Popen[bytes]:
    with (tmp_path / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "demo", "--readings-per-s", "2000"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def all_started_until(demo: subprocess.Popen[bytes], log: Path, text: str) -> set[int]:
    """Every process that the demo has started by the time it prints `text`."""
    started: set[int] = set()

    def has_printed() -> bool:
        started.update(descendants(demo.pid))
        assert demo.poll() is None, log.read_text()
        return text in log.read_text()

    wait_until(has_printed, f"the demo prints {text!r}", TIMEOUT_S)
    return started


def test_it_ends_by_itself_with_a_summary_its_files_and_no_process_left(
    demo: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    log = tmp_path / "log"

    started = all_started_until(demo, log, "drawing the page")
    assert demo.wait(TIMEOUT_S) == 0, log.read_text()

    text = log.read_text()
    summary = re.search(r"(\d) of 7 labelled events found, (\d) missed, \d+ false", text)
    assert summary is not None, text
    assert int(summary[1]) + int(summary[2]) == 7
    assert int(summary[1]) >= 4
    out = tmp_path / "demo-output"
    assert artifact.load(out / "server").manifest.name == "server"
    archive = (out / "alerts.jsonl").read_text()
    states = [json.loads(alert)["state"] for alert in archive.splitlines()]
    assert states.count("opened") >= states.count("closed") > 0
    assert "<html" in (out / "report.html").read_text()
    assert len(started) >= 3
    wait_until(lambda: not any(map(is_running, started)), "its processes are gone")


def test_ctrl_c_leaves_no_process(demo: subprocess.Popen[bytes], tmp_path: Path) -> None:
    started = all_started_until(demo, tmp_path / "log", "alerts as they arrive")

    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 130
    assert started
    wait_until(lambda: not any(map(is_running, started)), "its processes are gone")
