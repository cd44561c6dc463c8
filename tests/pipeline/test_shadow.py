"""A second detector scores the same readings and tells nobody."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pipeline.detector.detector import Detector
from pipeline.incident import Event, Explanation, State
from pipeline.records import Partition
from pipeline.shadow import Overlaps
from pipeline.transport.memory import MemoryBroker
from pipeline.watch import AsBefore, Refused
from tests import builders
from tests.pipeline.test_handover import NEW, SAME_WINDOWS
from tests.workers import N_READINGS, WINDOW, Setup, described, faulty_series, messages

NOTHING = np.empty(0, dtype=np.float32)
WHY = Explanation(NOTHING, NOTHING, NOTHING, NOTHING)


def event(state: State, time_s: float, unit: str = "pump", partition: int = 0) -> Event:
    where = Partition("readings", partition)
    return Event(state, unit, time_s, time_s, 2.0, 2.0, WHY, where, 0, 0)


def blind(window: int = WINDOW) -> Detector:
    """It never finds anything."""
    return builders.detector(
        window=window, threshold=1e9, scoring=builders.residual_scoring()
    )


def compared(setup: Setup) -> dict[str, float]:
    return {
        found_by: setup.metric("pipeline_incidents_compared_total", found_by=found_by) or 0
        for found_by in ("both", "detector", "shadow")
    }


@pytest.mark.parametrize("name", NEW)
def test_nobody_is_told_of_what_it_finds(detector: Detector, name: str) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series()))

    setup = Setup(broker, blind(), shadow=described(NEW[name], "sha256:1"))
    setup.read_all()

    assert setup.alerts() == []
    assert setup.metric("pipeline_incidents_opened_total") == 0
    assert setup.metric("pipeline_shadow_incidents_opened_total") == 1
    n_windows = N_READINGS - NEW[name].window + 1
    assert setup.metric("pipeline_shadow_score_count") == n_windows
    assert compared(setup) == {"both": 0, "detector": 0, "shadow": 1}


def test_the_detector_in_use_tells_the_same_with_and_without_it(detector: Detector) -> None:
    told = []
    for shadow in (None, described(SAME_WINDOWS, "sha256:1")):
        broker = MemoryBroker()
        broker.append(messages("pump-7", faulty_series()))
        setup = Setup(broker, detector, shadow=shadow)
        setup.read_all()
        told.append(setup.alerts())

    assert told[0] == told[1]
    assert compared(setup) == {"both": 1, "detector": 0, "shadow": 0}


def test_what_it_misses_is_counted(detector: Detector) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series()))

    setup = Setup(broker, detector, shadow=described(blind(), "sha256:1"))
    setup.read_all()

    assert compared(setup) == {"both": 0, "detector": 1, "shadow": 0}


def test_a_restart_counts_nothing_of_it_twice(detector: Detector) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series())[:140])
    shadow = described(SAME_WINDOWS, "sha256:1")
    first = Setup(broker, detector, shadow=shadow)
    first.read_all()
    first.worker.close(1.0)

    second = Setup(broker, detector, shadow=shadow)
    broker.append(messages("pump-7", faulty_series())[140:])
    second.read_all()

    assert first.metric("pipeline_shadow_incidents_opened_total") == 1
    assert second.metric("pipeline_shadow_incidents_opened_total") == 0
    assert second.metric("pipeline_shadow_score_count") == N_READINGS - 140
    assert compared(second) == {"both": 1, "detector": 0, "shadow": 0}


@pytest.mark.parametrize("how", ["a restart", "another one alongside"])
def test_what_was_open_before_counts_once_whoever_closes_first(
    detector: Detector, how: str
) -> None:
    """One of the two takes longer until scores have recovered."""
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series())[:140])
    slow = described(NEW["longer windows"], "sha256:1")
    first = Setup(broker, detector, shadow=slow)
    first.read_all()

    second = first
    if how == "a restart":
        first.worker.close(1.0)
        second = Setup(broker, detector, shadow=slow)
    else:
        first.shadow_watch.found = first.steps_of(described(SAME_WINDOWS, "sha256:2"))
    broker.append(messages("pump-7", faulty_series())[140:])
    second.read_all()

    assert compared(second) == {"both": 1, "detector": 0, "shadow": 0}


def test_units_of_partitions_that_go_are_forgotten(detector: Detector) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series())[:140])
    setup = Setup(broker, detector, shadow=described(SAME_WINDOWS, "sha256:1"))
    setup.read_all()

    setup.worker.on_lost([Partition("readings", 0)])
    broker.append(messages("pump-8", builders.sensor_series(WINDOW + 4)))
    setup.read_all()

    assert setup.metric("pipeline_shadow_score_count") == 140 - WINDOW + 1 + 5
    assert sum(compared(setup).values()) == 0


def test_another_one_in_its_folder_begins_anew(detector: Detector) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series())[:50])
    setup = Setup(broker, detector, shadow=described(SAME_WINDOWS, "sha256:1"))
    setup.read_all()
    model = builders.manifest(detector).model

    labels = {"name": "pumps", "model": model}
    assert setup.metric("pipeline_shadow_info", digest="sha256:1", **labels) == 1

    new = described(NEW["longer windows"], "sha256:2")
    setup.shadow_watch.found = setup.steps_of(new)
    broker.append(messages("pump-7", faulty_series())[50:])
    setup.read_all()

    assert setup.metric("pipeline_shadow_info", digest="sha256:1", **labels) is None
    assert setup.metric("pipeline_shadow_info", digest="sha256:2", **labels) == 1
    assert compared(setup) == {"both": 1, "detector": 0, "shadow": 0}


def test_one_in_its_folder_that_must_not_be_used_is_seen_and_the_old_one_goes_on(
    detector: Detector,
) -> None:
    broker = MemoryBroker()
    setup = Setup(broker, detector, shadow=described(SAME_WINDOWS, "sha256:1"))
    setup.shadow_watch.found = Refused("damaged")
    broker.append(messages("pump-7", faulty_series()))
    setup.read_all()

    assert setup.metric("pipeline_shadow_refused") == 1
    assert compared(setup) == {"both": 1, "detector": 0, "shadow": 0}
    setup.shadow_watch.found = AsBefore()
    setup.read_all()
    assert setup.metric("pipeline_shadow_refused") == 0


def test_a_worker_starts_without_it_if_it_must_not_be_used(detector: Detector) -> None:
    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series()))
    with capture_logs() as lines:
        setup = Setup(broker, detector, shadow=Refused("damaged"))
        setup.read_all()

    assert [line["detail"] for line in lines if line["event"] == "shadow_refused"] == [
        "damaged"
    ]
    assert setup.metric("pipeline_shadow_refused") == 1
    assert setup.metric("pipeline_incidents_opened_total") == 1
    assert compared(setup) == {"both": 0, "detector": 0, "shadow": 0}

    setup.shadow_watch.found = setup.steps_of(described(SAME_WINDOWS, "sha256:1"))
    broker.append(messages("pump-8", faulty_series()))
    setup.read_all()
    assert setup.metric("pipeline_shadow_refused") == 0
    assert compared(setup) == {"both": 1, "detector": 0, "shadow": 0}


def test_it_may_fail_and_the_detector_in_use_goes_on(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    broker = MemoryBroker()
    broker.append(messages("pump-7", faulty_series()))
    setup = Setup(broker, detector, shadow=described(SAME_WINDOWS, "sha256:1"))
    assert setup.worker._shadow is not None
    assert setup.worker._shadow.steps is not None
    monkeypatch.setattr(setup.worker._shadow.steps.scorer, "score", no_room)

    with capture_logs() as lines:
        setup.read_all()

    (line,) = (line for line in lines if line["event"] == "shadow_refused")
    assert line["detail"] == "OutOfMemoryError: CUDA out of memory"
    assert setup.metric("pipeline_incidents_opened_total") == 1
    assert setup.metric("pipeline_shadow_refused") == 1
    # What is in its folder may be taken again, though it is the same.
    assert setup.shadow_watch.declined_for == ""


Told = Sequence[tuple[State, float]]


@pytest.mark.parametrize(
    ("detector", "shadow", "over"),
    [
        ([("opened", 1), ("closed", 5)], [("opened", 4), ("closed", 9)], {"both": 1}),
        ([("opened", 1), ("closed", 5)], [("opened", 5), ("closed", 9)], {"both": 1}),
        (
            [("opened", 1), ("closed", 4)],
            [("opened", 5), ("closed", 9)],
            {"detector": 1, "shadow": 1},
        ),
        (
            [("opened", 1), ("closed", 2), ("opened", 4), ("closed", 5)],
            [("opened", 2), ("updated", 3), ("closed", 4)],
            {"both": 1},
        ),
        ([("opened", 1)], [("opened", 2), ("closed", 3)], {}),
        # Opened before this worker had the partition.
        ([("closed", 3)], [("opened", 2), ("closed", 4)], {"both": 1}),
    ],
)
def test_a_time_in_which_a_unit_has_incidents_open_counts_once(
    detector: Told, shadow: Told, over: dict[str, int]
) -> None:
    found = Overlaps().follow([event(*e) for e in detector], [event(*e) for e in shadow])

    assert found == Counter(over)


@given(
    events=st.lists(
        st.tuples(st.booleans(), st.sampled_from(["a", "b"]), st.integers(0, 1))
    )
)
def test_it_does_not_matter_in_how_many_turns_events_come(
    events: list[tuple[bool, str, int]],
) -> None:
    is_open: set[tuple[bool, str, int]] = set()
    told: tuple[list[Event], list[Event]] = ([], [])
    in_turns, by_turn = Overlaps(), Counter[str]()
    for time_s, (is_shadow, unit, partition) in enumerate(events):
        key = (is_shadow, unit, partition)
        state: State = "closed" if key in is_open else "opened"
        is_open ^= {key}
        one = event(state, float(time_s), unit, partition)
        told[is_shadow].append(one)
        by_turn += in_turns.follow([] if is_shadow else [one], [one] if is_shadow else [])

    assert Overlaps().follow(*told) == by_turn
