"""What labels change, counted on the history."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.detector.detector import Detector
from pipeline.trigger import IncidentRule
from tests import builders
from trainer.history import History
from trainer.labels.preview import Judge, preview

RULE = IncidentRule(2, 3, 5)
CALM, LOUD = 1e9, 1e-9
"""Thresholds that no score reaches, and that all do."""
DETECTOR = builders.quiet_detector(n_readings=400, window=8)


def history(faults: tuple[int, ...] = (), labelled: tuple[int, ...] = ()) -> History:
    """Readings of two units; each fault is ten readings long."""
    values_NF = builders.sensor_series(400)
    for fault in faults:
        values_NF[fault : fault + 10] *= -8.0
    rows = [row for fault in labelled for row in range(fault, fault + 10)]
    made = builders.history(values_NF, [200, 200], rows)
    return replace(made, sensors=builders.SENSORS, anomalous_N=made.label_N)


def judge(threshold: float | None = None, detector: Detector = DETECTOR) -> Judge:
    if threshold is not None:
        detector = replace(detector, threshold=threshold)
    return Judge(detector, RULE)


def test_an_incident_that_the_new_detector_does_not_open_is_silenced() -> None:
    seen = preview(history(faults=(50, 300)), judge(), judge(CALM))

    assert (seen.n_before, seen.n_after, seen.n_silenced) == (2, 0, 2)
    assert (seen.n_silenced_confirmed, seen.n_found, seen.n_lost) == (0, 0, 0)


def test_a_silenced_incident_that_was_labelled_is_told() -> None:
    seen = preview(history((50, 300), labelled=(50,)), judge(), judge(CALM))

    assert (seen.n_silenced, seen.n_silenced_confirmed, seen.n_lost) == (2, 1, 1)


def test_a_labelled_fault_that_only_the_new_detector_sees_is_found() -> None:
    seen = preview(history((50, 300), labelled=(50,)), judge(CALM), judge())

    assert (seen.n_found, seen.n_raised, seen.n_silenced) == (1, 1, 0)


def test_the_same_detector_changes_nothing() -> None:
    seen = preview(history((50, 300), labelled=(50,)), judge(), judge())

    assert seen.n_before == seen.n_after == 2
    assert seen.line("itself") == (
        "against itself: silences 0 of 2 past incidents, 0 of them confirmed; finds 0 that "
        "were missed, loses 0; raises 0 where nothing is labelled"
    )


def test_each_unit_is_followed_by_itself_and_its_first_windows_have_no_score() -> None:
    seen = preview(history(), judge(CALM), judge(LOUD))

    assert seen.n_after == 2


@pytest.mark.parametrize("n_rows", [0, 5])
def test_a_unit_shorter_than_a_window_has_no_incident(n_rows: int) -> None:
    short = replace(history(), begin_U=np.array([0, 400 - n_rows, 400]))

    assert preview(short, judge(), judge(LOUD)).n_after == 1
