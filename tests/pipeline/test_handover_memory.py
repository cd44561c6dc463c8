"""What is remembered after a hand-over, and what whoever goes on after a crash knows."""

import numpy as np
import pytest

from pipeline.detector.artifact import LoadedDetector
from pipeline.incident import Explanation, OpenIncident
from pipeline.note import Note
from pipeline.note_codec import NoteCodec
from pipeline.records import Message, Partition
from pipeline.recovery import Recovery
from pipeline.transport.base import Committed
from pipeline.transport.memory import MemoryBroker
from tests import builders
from tests.pipeline.test_recovery import Outcome, outcome, series
from tests.workers import N_READINGS, WINDOW, Setup, described, messages

OLD = described(builders.quiet_detector(N_READINGS, WINDOW), "sha256:0")
NEW = described(builders.quiet_detector(N_READINGS, WINDOW, seed=1), "sha256:1")
PATIENT = described(
    builders.quiet_detector(N_READINGS, WINDOW, 2, ("burst", 1), ("shift", 32)), "sha256:2"
)
"""It remembers four times as many readings."""

NOTHING_F = np.zeros(len(builders.SENSORS), dtype=np.float32)
OPEN = OpenIncident(
    1e9, 2.0, 2.0, Explanation(NOTHING_F, NOTHING_F, NOTHING_F, NOTHING_F[:0]), 160
)


def told(
    new: LoadedDetector, sent: list[Message], n_before: int, n_after: int, crashes: bool
) -> Outcome:
    """What is told of a stream if `new` takes over after `n_before` readings.

    With `crashes` another worker goes on `n_after` readings later.
    """
    broker = MemoryBroker(n_partitions=1)
    broker.append(sent[:n_before])
    setup = Setup(broker, OLD.detector, loaded=OLD, max_records=1)
    setup.read_all()
    setup.watch.found = setup.steps_of(new)
    setup.read_all()
    broker.append(sent[n_before : n_before + n_after])
    setup.read_all()
    if crashes:
        setup.consumer.close(0.0)
        setup = Setup(broker, new.detector, loaded=new, max_records=200)
    broker.append(sent[n_before + n_after :])
    setup.read_all()
    return outcome(broker)


@pytest.mark.parametrize("n_after", range(1, 8))
@pytest.mark.parametrize("n_before", range(60, 68, 2))
def test_scores_look_back_to_the_hand_over_and_no_further_after_a_crash_too(
    n_before: int, n_after: int
) -> None:
    # From reading 60 on it is off by so little that several readings are needed to see it.
    sent = messages("pump", series(4)[:140])

    undisturbed = told(NEW, sent, n_before, n_after, crashes=False)

    assert undisturbed.alerts
    assert told(NEW, sent, n_before, n_after, crashes=True) == undisturbed


@pytest.mark.parametrize("n_after", [25, 50, 75, 90])
def test_a_longer_memory_than_before_is_rebuilt_after_a_crash(n_after: int) -> None:
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[60:150, 1] += np.float32(3.0)
    sent = messages("pump", values_NF)

    undisturbed = told(PATIENT, sent, 30, n_after, crashes=False)

    assert undisturbed.alerts
    assert told(PATIENT, sent, 30, n_after, crashes=True) == undisturbed


def test_what_is_read_again_from_before_the_hand_over_opens_nothing() -> None:
    partition = Partition("readings", 0)
    setup = Setup(MemoryBroker(), NEW.detector, loaded=NEW)
    steps, recovery = setup.steps_of(NEW), Recovery(max_records=1_000)
    # Incidents without room, too many to be named.
    open_incidents = [(f"pump-{n}", OPEN) for n in range(100)]
    codec = NoteCodec("sha256:1", "2 of 3", builders.SENSORS, 3, max_bytes=130)
    text = codec.encode(Note(200, 100, open_incidents, scores_from=150), floor=0)
    recovery.begin(partition, Committed(200, text), codec)
    (before,) = recovery.split(builders.polled(builders.record(offset=149)))
    (after,) = recovery.split(builders.polled(builders.record(offset=150)))

    nothing = builders.readings([])
    recovery.restore(steps, before, nothing)
    assert not recovery.reopens(partition, "pump-99", 1e9)
    recovery.restore(steps, after, nothing)
    assert recovery.reopens(partition, "pump-99", 1e9)
