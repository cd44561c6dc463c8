"""The pages of several worker processes as one: what `HealthServer` serves of them all.

Asked for anew each time, over loopback. (prometheus_client's multiprocess mode would have
them write to files instead, which needs a disk, knows neither collectors of our own nor
those of the process, never forgets a series, and goes on telling of a dead process.)
"""

import http.client
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

HOST = "127.0.0.1"
"""Where the processes' own pages are: nobody else need reach them."""
ANSWER_TIMEOUT_S = 2.0
"""A process that takes longer is not well, and of its metrics only READY is shown, as 0."""
READY = ("pipeline_ready", "What /readyz says: 1 ready, 0 not.")
"""Name and words of the one metric that is told for a process that does not tell."""
LABEL = "process"
AnswerT = TypeVar("AnswerT")


class Process(Protocol):
    """What is known of one of the processes."""

    number: int
    started_s: float
    """Of the monotonic clock."""
    port: int | None
    """None until it is listening, which it is once its detector is loaded."""


class ProcessPages(Collector):
    """Implements `health.Checks`, and collects all processes' metrics, each sample labelled
    with the process's number."""

    def __init__(self, processes: Sequence[Process], max_start_s: float) -> None:
        """Ask those that are in `processes` then.

        Args:
            processes: read anew for each page.
            max_start_s: one that is not listening after this long is not well.
        """
        self._processes = processes
        self._max_start_s = max_start_s

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for process, page in self._ask(lambda process: _get(process, "/metrics")):
            for family in _families(page):
                labelled = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, LABEL: str(process.number)}
                    labelled.samples.append(sample._replace(labels=labels))
        return merged.values()

    def liveness(self, now_s: float) -> dict[str, bool]:
        def starts(process: Process) -> dict[str, bool]:
            return {"starting": now_s - process.started_s <= self._max_start_s}

        return self._checks("/healthz", starts)

    def readiness(self, now_s: float) -> dict[str, bool]:
        return self._checks("/readyz", lambda process: {"answering": False})

    def _checks(
        self, path: str, before_it_listens: Callable[[Process], dict[str, bool]]
    ) -> dict[str, bool]:
        def checks(process: Process) -> dict[str, bool]:
            if process.port is None:
                return before_it_listens(process)
            page = _get(process, path)
            held: dict[str, bool] = (
                {"answering": False} if page is None else json.loads(page)
            )
            return held

        return {
            f"process_{process.number}.{name}": holds
            for process, answer in self._ask(checks)
            for name, holds in answer.items()
        }

    def _ask(
        self, question: Callable[[Process], AnswerT]
    ) -> Iterable[tuple[Process, AnswerT]]:
        """Ask all of them at once, so that one that does not answer costs its own time."""
        processes = list(self._processes)
        with ThreadPoolExecutor(max_workers=max(1, len(processes))) as pool:
            return zip(processes, list(pool.map(question, processes)), strict=True)


def _families(page: str | None) -> Iterable[Metric]:
    """What a process tells of itself; of one without an answer, that it is not ready."""
    if page is not None:
        return text_string_to_metric_families(page)
    # Without it, those that answer would look as if they were all.
    name, documentation = READY
    ready = Metric(name, documentation, "gauge")
    ready.add_sample(name, {}, 0.0)
    return [ready]


def _get(process: Process, path: str) -> str | None:
    """The text of a page of one process, whatever its status; None without an answer."""
    if process.port is None:
        return None
    # Not urllib: it would go through a proxy that the environment names.
    connection = http.client.HTTPConnection(HOST, process.port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
