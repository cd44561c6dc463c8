"""The pages of several processes as one."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline import processes_pages
from pipeline.health import Health, HealthServer
from pipeline.metrics import WorkerMetrics
from pipeline.processes_pages import HOST, READY, ProcessPages

MAX_START_S = 100.0


@dataclass
class Listening:
    """One of the processes, as far as its pages go."""

    number: int
    port: int | None
    health: Health
    registry: CollectorRegistry
    started_s: float = 0.0


@pytest.fixture
def process() -> Iterator[Callable[[int], Listening]]:
    """Starts the pages of a process that is well and ready."""
    with ExitStack() as stack:

        def start(number: int) -> Listening:
            health = Health(max_turn_s=100.0, now_s=time.monotonic())
            health.detector_verified()
            health.turned(n_partitions=1, now_s=time.monotonic())
            registry = CollectorRegistry()
            server = stack.enter_context(HealthServer(HOST, 0, registry, health))
            return Listening(number, server.port, health, registry)

        yield start


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    """Process 1, which takes connections and never answers."""
    monkeypatch.setattr(processes_pages, "ANSWER_TIMEOUT_S", 0.1)
    with socket.create_server((HOST, 0)) as server:
        port = int(server.getsockname()[1])
        yield Listening(1, port, Health(1.0, 0.0), CollectorRegistry())


def page(*processes: Listening) -> str:
    registry = CollectorRegistry()
    registry.register(ProcessPages(processes, MAX_START_S))
    return generate_latest(registry).decode()


def test_every_sample_has_the_number_of_its_process(
    process: Callable[[int], Listening],
) -> None:
    one, other = process(0), process(1)
    Gauge("units", "Units.", registry=one.registry).set(3)
    Gauge("units", "Units.", registry=other.registry).set(4)

    lines = page(one, other).splitlines()

    assert lines[-2:] == ['units{process="0"} 3.0', 'units{process="1"} 4.0']


def test_a_metric_of_all_processes_is_declared_once(
    process: Callable[[int], Listening],
) -> None:
    one, other = process(0), process(1)
    for each in (one, other):
        Counter("alerts_total", "Alerts.", ["state"], registry=each.registry).labels("open")

    merged = page(one, other)

    assert merged.count("# TYPE alerts_total counter") == 1
    assert 'alerts_total{process="1",state="open"} 0.0' in merged


def test_the_page_has_all_that_the_pages_of_the_processes_have(
    process: Callable[[int], Listening],
) -> None:
    processes = [process(0), process(1)]
    for each in processes:
        WorkerMetrics(each.registry).step_seconds.labels("poll").observe(0.1)

    families = list(text_string_to_metric_families(page(*processes)))

    alone = generate_latest(processes[0].registry).decode()
    of_one = list(text_string_to_metric_families(alone))
    assert [f.name for f in families] == [f.name for f in of_one]
    assert [f.type for f in families] == [f.type for f in of_one]
    assert [len(f.samples) for f in families] == [2 * len(f.samples) for f in of_one]


def test_all_must_be_well_and_ready(process: Callable[[int], Listening]) -> None:
    one, other = process(0), process(1)
    other.health.turned(n_partitions=0, now_s=time.monotonic())
    pages = ProcessPages([one, other], MAX_START_S)

    assert pages.liveness(0.0) == {
        "process_0.loop_turning": True,
        "process_1.loop_turning": True,
    }
    assert not pages.readiness(0.0)["process_1.partitions_assigned"]
    assert pages.readiness(0.0)["process_0.partitions_assigned"]


def test_one_that_does_not_answer_is_not_well_and_keeps_back_no_other(
    process: Callable[[int], Listening], silent: Listening
) -> None:
    one = process(0)
    Gauge("units", "Units.", registry=one.registry).set(3)
    pages = ProcessPages([one, silent], MAX_START_S)

    assert pages.liveness(0.0) == {
        "process_0.loop_turning": True,
        "process_1.answering": False,
    }
    assert not pages.readiness(0.0)["process_1.answering"]
    assert 'units{process="0"} 3.0' in page(one, silent)


def test_one_that_does_not_answer_is_told_of_as_not_ready(
    process: Callable[[int], Listening], silent: Listening
) -> None:
    one = process(0)
    WorkerMetrics(one.registry).ready.set(1)

    merged = page(one, silent)

    assert merged.count("# TYPE pipeline_ready gauge") == 1
    assert 'pipeline_ready{process="0"} 1.0' in merged
    assert 'pipeline_ready{process="1"} 0.0' in merged


def test_its_readiness_is_the_metric_that_workers_have() -> None:
    ready = next(iter(WorkerMetrics(CollectorRegistry()).ready.collect()))

    assert (ready.name, ready.documentation) == READY


def test_one_that_starts_up_is_alive_for_its_time_but_not_ready() -> None:
    starting = Listening(0, None, Health(1.0, 0.0), CollectorRegistry(), started_s=10.0)
    pages = ProcessPages([starting], MAX_START_S)

    assert all(pages.liveness(now_s=10.0 + MAX_START_S).values())
    assert not all(pages.liveness(now_s=10.1 + MAX_START_S).values())
    assert not all(pages.readiness(now_s=10.0).values())
    assert 'pipeline_ready{process="0"} 0.0' in page(starting)


def test_what_each_observes_is_shown_of_each(process: Callable[[int], Listening]) -> None:
    one, other = process(0), process(1)
    for each in (one, other):
        metrics = WorkerMetrics(each.registry)
        metrics.calibration_score_ratio.labels("sha256:0", "0.5").set(0.75)
        metrics.incidents_per_unit_day.labels("1h").set_function(lambda: float("nan"))

    merged = page(one, other)

    for number in (0, 1):
        labels = f'digest="sha256:0",le="0.5",process="{number}"'
        assert f"pipeline_calibration_score_ratio{{{labels}}} 0.75" in merged
        labels = f'over="1h",process="{number}"'
        assert f"pipeline_incidents_per_unit_day{{{labels}}} NaN" in merged
