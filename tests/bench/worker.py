"""`pipeline run` as a process of its own, from a topic's start to its end."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.processes import WorkerProcess

READINGS = "pipeline_readings_total"
_STEP_S = re.compile(r'^pipeline_step_seconds_sum\{step="(\w+)"\} (\S+)', re.M)
TIMEOUT_S = 240.0
NEAR_S = 0.02
"""Between two looks at the metrics near the first and the last reading. Between them looks
are rare: each takes the worker a millisecond."""
FAR_S = 0.25


@dataclass(frozen=True, slots=True)
class Run:
    """How one run of the worker went, its start-up not counted."""

    readings_per_s: float
    step_shares: dict[str, float]
    """Of the time, by step; `other` is what the worker counts, shows and logs."""


def settings(servers: str, detector: Path, topic: str) -> dict[str, str]:
    """Of a worker of a group of its own, all else as by default."""
    return {
        "PIPELINE_DETECTOR": str(detector),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": servers,
        "PIPELINE_KAFKA__READINGS_TOPIC": topic,
        "PIPELINE_KAFKA__GROUP_ID": uuid4().hex,
        "PIPELINE_LOG__FORMAT": "json",
        "PIPELINE_DEVICE": "cpu",
    }


def run(given: dict[str, str], n_readings: int, folder: Path) -> Run:
    """Run a worker until it has read so many readings, and measure it from its metrics.

    The clock starts when the first batch is seen to be counted, which is not counted.

    Raises:
        RuntimeError: it ended by itself, or has not read them all in time.
    """
    log = folder / f"worker-{uuid4().hex}.log"
    with WorkerProcess(given, log) as worker:
        first_n, first_s, first_page = wait(worker, 1, log)
        last_n, last_s, last_page = wait(worker, n_readings, log)
        assert worker.stop() == 0, log.read_text()[-2_000:]
    took_s = last_s - first_s
    before, after = _step_seconds(first_page), _step_seconds(last_page)
    shares = {
        step: (seconds - before.get(step, 0.0)) / took_s for step, seconds in after.items()
    }
    shares["other"] = 1.0 - sum(shares.values())
    return Run((last_n - first_n) / took_s, shares)


def wait(worker: WorkerProcess, n_readings: int, log: Path) -> tuple[float, float, str]:
    """Readings counted, seconds and the page, once at least `n_readings` are counted.

    Raises:
        RuntimeError: it ended by itself, or has not read them all in time.
    """
    began_s = time.perf_counter()
    n_at_first: float | None = None
    while True:
        status, page = worker.get("/metrics")
        since_s = time.perf_counter() - began_s
        n = _readings(page) if status else 0.0
        if n >= n_readings:
            return n, began_s + since_s, page
        if worker.process.poll() is not None or since_s > TIMEOUT_S:
            raise RuntimeError(f"the worker read {n:.0f}: {log.read_text()[-2_000:]}")
        n_at_first = n if n_at_first is None else n_at_first
        # At the rate so far the rest takes well over one long look away.
        is_far = (n - n_at_first) * 3 * FAR_S < (n_readings - n) * since_s and n > 0
        time.sleep(FAR_S if is_far else NEAR_S)


def _readings(page: str) -> float:
    found = re.search(rf"^{READINGS} (\S+)", page, re.M)
    return float(found[1]) if found else 0.0


def _step_seconds(page: str) -> dict[str, float]:
    return {step: float(seconds) for step, seconds in _STEP_S.findall(page)}
