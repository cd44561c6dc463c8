"""How long until there is help, and until a worker is ready."""

import subprocess
import sys
import time
from uuid import uuid4

from tests.bench import stream, topics, worker
from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.site import ENSEMBLE, Site
from tests.processes import WorkerProcess

FEW, MANY = 100, 100_000
"""Units whose readings lie behind what the group has committed."""
INTERPRETER = [sys.executable, "-c", "pass"]
TORCH = [sys.executable, "-c", "import torch"]
HELP = [sys.executable, "-m", "pipeline", "run", "--help"]


def run(site: Site) -> list[Line]:
    """From a process's start to its help, or to 200 on `/readyz`."""
    site.detector(ENSEMBLE)
    many = _committed(site, max(FEW, site.scaled(MANY)))
    few = _committed(site, FEW)
    helped, bare = in_turn(
        site.n_repeats, lambda: _seconds(HELP), lambda: _seconds(INTERPRETER)
    )
    with_many, with_few, torch = in_turn(
        site.n_repeats,
        lambda: _until_ready(site, many),
        lambda: _until_ready(site, few),
        lambda: _seconds(TORCH),
    )
    return [
        Line(
            name="start, run --help",
            unit="s",
            ours=helped,
            theirs=bare,
            against="an interpreter that does nothing",
            goals=(Goal("ours", "<=", 0.5),),
        ),
        Line(
            name="start, worker ready",
            unit="s",
            ours=with_few,
            theirs=torch,
            against="importing torch",
            goals=(Goal("ours", "<=", 6.0),),
        ),
        Line(
            name=f"start, {max(FEW, site.scaled(MANY)):,} units committed",
            unit="s",
            ours=with_many,
            theirs=with_few,
            against=f"{FEW} units",
            goals=(Goal("ratio", "<=", 1.2),),
        ),
    ]


def _seconds(command: list[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return time.perf_counter() - began_s


def _committed(site: Site, n_units: int) -> dict[str, str]:
    """Settings of a worker that has read a topic with a reading of each of these units."""
    topic = f"started-{n_units}-{uuid4().hex}"
    topics.create(site.servers, topic)
    topics.fill(site.servers, topic, stream.items(stream.series(1, n_units)))
    given = worker.settings(site.servers, site.detector(ENSEMBLE), topic)
    with _worker(site, given) as first:
        first.wait_until_read(n_units)
        exit_code = first.stop()
    assert exit_code == 0, "it has not committed"
    return given


def _until_ready(site: Site, given: dict[str, str]) -> float:
    began_s = time.perf_counter()
    with _worker(site, given) as started:
        started.wait_until_ready()
        took_s = time.perf_counter() - began_s
        # So that the next one finds the group without a member.
        started.stop()
    return took_s


def _worker(site: Site, given: dict[str, str]) -> WorkerProcess:
    return WorkerProcess(given, site.folder / f"start-{uuid4().hex}.log")
