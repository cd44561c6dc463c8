"""The memory of `pipeline run` with a million units: the most that it ever held."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from pipeline.detector import artifact
from pipeline.detector.scoring import Scoring
from pipeline.metrics import totals
from tests.bench import topics, worker
from tests.bench.scoring import WINDOW
from tests.bench.site import PLAIN, Site
from tests.bench.stream import BEGIN_S, N_PARTITIONS, SENSORS, STEP_S, Item, items, series
from tests.processes import WorkerProcess

N_UNITS = 1_000_000
N_STEPS = 2
"""Readings of each unit: with its first the room for a whole window is filled."""
N_SCORED = 1_000
"""Units that then send a window more: with the first score there is room for all units'."""


def measure(site: Site, n_units: int) -> tuple[int, int]:
    """What a worker has held at most, once it has read readings of so many units.

    Returns:
        Bytes of the process, and of the readings and residuals of each unit's next score.

    Raises:
        RuntimeError: it has not read them all, or does not keep all units.
    """
    detector = site.detector(PLAIN)
    topic = f"units-{n_units}-{uuid4().hex}"
    topics.create(site.servers, topic)
    topics.fill(site.servers, topic, _items(n_units))
    given = {
        **worker.settings(site.servers, detector, topic),
        "PIPELINE_MAX_UNITS": str(n_units),
    }
    log = site.folder / f"peak-{uuid4().hex}.log"
    with WorkerProcess(given, log) as running:
        _, _, page = worker.wait(running, n_units * N_STEPS + N_SCORED * WINDOW, log)
        n_kept = totals(page)["pipeline_units"]
        if n_kept != n_units:
            raise RuntimeError(f"of {n_units:,} units the worker keeps {n_kept:,.0f}")
        peak_bytes = _peak_bytes(running.process.pid)
        exit_code = running.stop()
    if exit_code != 0:
        raise RuntimeError(f"the worker ended with {exit_code}: {log.read_text()[-2_000:]}")
    scoring: Scoring = artifact.load(detector).detector.scoring
    n_rows = WINDOW - 1 + scoring.n_memory
    return peak_bytes, 4 * len(SENSORS) * n_rows * n_units


def _items(n_units: int) -> Iterator[Item]:
    """Readings of all units in turn, their values those of a few."""
    few = [item.value for item in items(series(1, N_SCORED))]
    values = [value[value.index(b'"values"') :] for value in few]
    for step in range(N_STEPS + WINDOW):
        time_s = BEGIN_S + STEP_S * step
        for unit in range(n_units if step < N_STEPS else N_SCORED):
            name = f"unit-{unit:07d}"
            value = f'{{"unit":"{name}","time":{time_s},'.encode()
            value += values[unit % N_SCORED]
            yield Item(unit % N_PARTITIONS, name.encode(), value)


def _peak_bytes(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    if found is None:
        raise RuntimeError(f"process {pid} has no VmHWM")
    return 1024 * int(found[1])
