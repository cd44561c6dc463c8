"""What is measured says nothing of another detector, nor of what is read no more."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.observed import GONE_AFTER_S, Observed
from pipeline.settings import DriftSettings
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.pipeline.drift.watching import knowing_detector
from tests.workers import N_READINGS, WINDOW, Setup, described, faulty_series, messages

OLD = described(builders.quiet_detector(N_READINGS, WINDOW), "sha256:0")
NEW = replace(OLD, digest="sha256:1")


def promoted(new: LoadedDetector) -> Setup:
    """A worker whose detector opened an incident, and which then took another one."""
    broker = MemoryBroker(n_partitions=1)
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, OLD.detector, loaded=OLD, drift=DriftSettings())
    setup.read_all()
    assert (setup.metric("pipeline_incidents_per_unit_day", over="7d") or 0.0) > 1
    of_old = setup.metric("pipeline_detector_incidents_opened_total", digest=OLD.digest)
    assert of_old == setup.metric("pipeline_incidents_opened_total")
    setup.watch.found = setup.steps_of(new)
    setup.read_all()
    return setup


@pytest.mark.parametrize("over", ["1h", "1d", "7d"])
def test_incidents_are_counted_anew_with_another_detector(over: str) -> None:
    setup = promoted(NEW)

    rate = setup.metric("pipeline_incidents_per_unit_day", over=over)
    assert math.isnan(rate or 0.0)


def test_what_is_held_against_a_promise_has_the_digest_that_promised() -> None:
    setup = promoted(NEW)

    names = [
        "pipeline_detector_incidents_opened_total",
        "pipeline_detector_unit_days_watched_total",
    ]
    promise = "pipeline_false_alarms_promised_per_unit_day"
    assert [setup.metric(name, digest=NEW.digest) for name in names] == [0, 0]
    assert setup.metric(promise, digest=NEW.digest) is not None
    for name in (*names, promise):
        assert setup.metric(name, digest=OLD.digest) is None
    # Of the worker, whatever its detectors.
    assert setup.metric("pipeline_incidents_opened_total") == 1
    assert (setup.metric("pipeline_unit_days_watched_total") or 0.0) > 0


def shown_with(n_partitions: Callable[[float], int], folder: Path) -> float | None:
    """How many sensors are out of range, by a worker that had so many partitions."""
    loaded = knowing_detector(folder / "pumps", builders.sensor_series(1_000))
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[:, 2] = 1e6
    broker = MemoryBroker(n_partitions=1)
    broker.append(messages("pump-7", values_NF))
    setup = Setup(broker, loaded.detector, max_records=N_READINGS, loaded=loaded)
    turn, steps = setup.worker.run_once(), setup.steps_of(loaded)
    observed = Observed(setup.metrics, DriftSettings())
    observed.begin(loaded)
    assert turn is not None
    observed.observe(turn, now_s=0.0)
    for now_s in (0.0, 6.0, GONE_AFTER_S, GONE_AFTER_S + 12.0):
        observed.show(steps, n_partitions(now_s), now_s)
    return setup.metric(
        "pipeline_sensors_drifting", digest=loaded.digest, by="out_of_range"
    )


def test_a_worker_whose_partitions_have_gone_holds_no_alarm(tmp_path: Path) -> None:
    assert shown_with(lambda now_s: 1, tmp_path) == 1
    assert shown_with(lambda now_s: int(now_s <= 6.0), tmp_path) is None


def test_a_rebalance_interrupts_nothing(tmp_path: Path) -> None:
    assert shown_with(lambda now_s: int(now_s <= GONE_AFTER_S), tmp_path) == 1
