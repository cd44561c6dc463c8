"""Labelled stretches become events, and members see all but some of them."""

from dataclasses import replace

import numpy as np

from tests import builders
from trainer.history import History
from trainer.labels.events import MAX_EVENT_WINDOWS, MEMORY, Labels, find_labels

LENGTH = 8


def labelled(*rows: int, n_of_unit: tuple[int, ...] = (400,)) -> History:
    history = builders.history(builders.sensor_series(sum(n_of_unit)), n_of_unit, rows)
    return replace(history, anomalous_N=history.label_N)


def found(history: History) -> Labels:
    labels = find_labels(history, LENGTH)
    assert labels is not None
    return labels


def newest(labels: Labels, event: int) -> list[int]:
    newest_B = labels.anomalous[event].labelled_B + LENGTH - 1
    return [int(row) for row in newest_B]


def test_an_event_is_the_windows_that_end_within_a_labelled_stretch() -> None:
    labels = found(labelled(100, 101, 102, 200))

    assert [newest(labels, event) for event in (0, 1)] == [[100, 101, 102], [200]]
    assert [event.n_before for event in labels.anomalous] == [MEMORY, MEMORY]


def test_no_window_of_an_event_spans_two_units_or_a_joint() -> None:
    history = labelled(199, 200, 310, n_of_unit=(200, 200))

    labels = found(replace(history, joint_J=np.array([305])))

    # The first windows of a unit, and behind a joint, are not whole yet.
    assert [newest(labels, event) for event in range(len(labels.anomalous))] == [[199]]


def test_a_long_event_is_learned_from_by_its_first_windows() -> None:
    labels = found(labelled(*range(20, 400)))

    assert len(newest(labels, 0)) == MAX_EVENT_WINDOWS


def test_each_member_sees_all_events_but_its_own() -> None:
    labels = found(labelled(100, 200, 300))

    shown = [labels.shown_to(member, n_members=2) for member in (0, 1)]

    ends = [(windows.start_B + LENGTH - 1).tolist() for windows in shown if windows]
    assert ends == [[200], [100, 300]]


def test_all_members_see_an_event_that_is_the_only_one() -> None:
    labels = found(labelled(100))

    assert all(labels.shown_to(member, n_members=2) for member in (0, 1))


def test_a_member_that_is_the_only_one_sees_all_events() -> None:
    shown = found(labelled(100, 200)).shown_to(0, n_members=1)

    assert shown is not None
    assert (shown.start_B + LENGTH - 1).tolist() == [100, 200]


def test_without_labels_there_is_nothing_to_learn() -> None:
    assert find_labels(labelled(), LENGTH) is None
    assert find_labels(builders.history(builders.sensor_series(100)), LENGTH) is None
