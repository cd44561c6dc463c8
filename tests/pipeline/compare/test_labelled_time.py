"""What of the time that units were watched is labelled."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.compare.comparison import Comparison, compare
from pipeline.compare.labelled_time import LabelledTime
from pipeline.compare.side import Side
from pipeline.compare.source import Batch
from pipeline.detector.artifact import load
from pipeline.events import Span
from pipeline.records import Message, Records, behind
from pipeline.score import Scorer, choose_device
from pipeline.settings import ReplaySettings
from pipeline.transport.memory_broker import MemoryRecord
from pipeline.window import Arrived
from tests import builders
from tests.pipeline.compare.comparing import BEGAN_S, N_READINGS, messages, series

UNITS = ["pump-1", "pump-2"]


def labelled_s(
    events: Sequence[tuple[float, float]],
    time_s_N: Sequence[float],
    watched_s_N: Sequence[float] | None = None,
    n_at_once: int = 100,
) -> float:
    """Of readings of one unit, whose events these are."""
    within = LabelledTime([Span("pump-2", *event) for event in events])
    step_s_N = np.diff(time_s_N, prepend=math.nan)
    watched = np.nan_to_num(step_s_N) if watched_s_N is None else np.array(watched_s_N)
    seconds = 0.0
    for begin in range(0, len(time_s_N), n_at_once):
        at = slice(begin, begin + n_at_once)
        n_now = len(time_s_N[at])
        arrived = Arrived(
            np.array([1]), np.array([n_now]), np.array([0]), np.arange(n_now), step_s_N[at]
        )
        seconds += within.add(arrived, np.array(time_s_N[at]), watched[at], UNITS)
    return seconds


@pytest.mark.parametrize("n_at_once", [1, 2, 100])
@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([(10, 30)], 20),
        ([(12, 17)], 5),
        ([(12, 12)], 0),
        ([(5, 12), (15, 21), (39, 50)], 7 + 6 + 1),
        ([(-50, -10), (50, 60)], 0),
        ([(25, math.inf)], 15),
        ([(-math.inf, 5)], 5),
    ],
)
def test_of_a_step_that_an_event_covers_in_part_that_part_is_labelled(
    events: list[tuple[float, float]], seconds: float, n_at_once: int
) -> None:
    found_s = labelled_s(events, [0, 10, 20, 30, 40], n_at_once=n_at_once)

    assert found_s == pytest.approx(seconds, abs=1e-3)


def test_of_a_gap_no_more_is_labelled_than_was_watched() -> None:
    # A day without readings, of which 50 s count as watched; half of it is labelled.
    found_s = labelled_s([(10, 43_210)], [0, 10, 86_410], [0, 10, 50])

    assert found_s == pytest.approx(25)


def test_readings_of_the_same_time_add_nothing() -> None:
    assert labelled_s([(0, 100)], [0, 10, 10, 20]) == pytest.approx(20)


class Handed:
    """A source of these messages, of which some come before what is compared."""

    name = "handed"

    def __init__(self, sent: Sequence[Message], n_warm_up: int = 0) -> None:
        self.notes: list[str] = []
        self._batches = [
            Batch(_records(sent[:n_warm_up]), True, 0.5),
            Batch(_records(sent, n_warm_up), False, 1.0),
        ]

    def batches(self) -> Iterator[Batch]:
        return iter(self._batches)


def _records(sent: Sequence[Message], first: int = 0) -> Records:
    records = [
        MemoryRecord("readings", 0, offset, -1, each.key, each.value, ())
        for offset, each in enumerate(sent)
    ][first:]
    return Records(records, behind(records))


def compared(a: Path, b: Path, source: Handed, labels: Sequence[Span]) -> Comparison:
    def side(folder: Path) -> Side:
        loaded = load(folder)
        scorer = Scorer(loaded.detector, choose_device("cpu"))
        return Side(folder.name, loaded, scorer, ReplaySettings(device="cpu"))

    return compare(side(a), side(b), source, labels)


def test_an_event_that_one_alone_could_read_is_missed_by_the_other(
    wide: Path, narrow: Path
) -> None:
    sent = []
    for i, values_F in enumerate(series("pump-2").tolist()):
        values = dict(zip(builders.SENSORS, values_F, strict=True))
        value = builders.reading_json("pump-2", BEGAN_S + i, values | {"temperature": "-"})
        sent.append(Message("readings", value))
    event = Span("pump-2", BEGAN_S + 150, BEGAN_S + 179)

    comparison = compared(wide, narrow, Handed(sent), [event])

    assert (comparison.a.n_rejected, comparison.b.n_rejected) == (N_READINGS, 0)
    for found, n_found in ((comparison.a, 0), (comparison.b, 1)):
        assert found.against_labels is not None
        assert len(found.against_labels.matches) == 1
        assert found.against_labels.n_found == n_found


def test_an_incident_that_is_open_at_the_begin_is_not_false_if_its_event_is_over(
    wide: Path,
) -> None:
    sent = messages("readings", ["pump-1"])
    event = Span("pump-1", BEGAN_S + 150, BEGAN_S + 160)

    comparison = compared(wide, wide, Handed(sent, n_warm_up=170), [event])

    assert len(comparison.a.incidents) == 1
    assert comparison.a.n_false == 0
    assert comparison.n_events_at_other_times == 1


def test_an_incident_that_is_open_at_the_end_has_nothing_to_do_with_later_events(
    wide: Path,
) -> None:
    sent = messages("readings", ["pump-1"])[:170]
    event = Span("pump-1", BEGAN_S + 1_000, BEGAN_S + 2_000)

    comparison = compared(wide, wide, Handed(sent), [event])

    assert comparison.a.incidents[0].span.end_s == math.inf
    assert comparison.a.n_false == 1
