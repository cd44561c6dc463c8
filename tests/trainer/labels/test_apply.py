"""Verdicts on the rows of a history."""

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.feedback import Verdict
from tests import builders
from trainer.history import History
from trainer.labels.apply import with_verdicts
from trainer.labels.verdicts import Judged

STEP_S = 60.0


def history(labelled: tuple[int, ...] = ()) -> History:
    return builders.history(builders.sensor_series(200), [100, 100], labelled, STEP_S)


def judged(
    first: int,
    last: int,
    verdict: Verdict,
    unit: str = "unit-1",
    *,
    is_closed: bool = False,
) -> Judged:
    """Of a unit's own readings `first` to `last`."""
    begin_s = float(history().time_s_N[100])
    return Judged(
        Span(unit, begin_s + STEP_S * first, begin_s + STEP_S * last), is_closed, verdict
    )


def rows(flag_N: np.ndarray | None) -> list[int]:
    assert flag_N is not None
    return np.flatnonzero(flag_N).tolist()


def test_a_true_alarm_is_left_out_of_what_is_normal_and_held_against_it() -> None:
    known = with_verdicts(history(), [judged(10, 12, "true")], n_recovery=15)

    assert rows(known.label_N) == rows(known.anomalous_N) == [110, 111, 112]
    assert rows(known.silenced_N) == []


def test_the_readings_that_closed_an_incident_are_left_out_but_not_anomalous() -> None:
    closed = judged(10, 19, "true", is_closed=True)

    known = with_verdicts(history(), [closed], n_recovery=6)

    assert rows(known.label_N) == [*range(110, 120)]
    assert rows(known.anomalous_N) == [*range(110, 114)]


def test_maintenance_is_left_out_and_no_more() -> None:
    known = with_verdicts(history((111,)), [judged(10, 12, "maintenance")], n_recovery=15)

    assert rows(known.label_N) == [110, 111, 112]
    assert rows(known.anomalous_N) == rows(known.silenced_N) == []


@pytest.mark.parametrize("verdict", ["false", "expected"])
def test_a_false_alarm_is_normal_even_if_it_is_labelled(verdict: Verdict) -> None:
    known = with_verdicts(history((5, 111)), [judged(10, 12, verdict)], n_recovery=15)

    assert rows(known.label_N) == rows(known.anomalous_N) == [5]
    assert rows(known.silenced_N) == [110, 111, 112]


def test_an_incident_outside_the_history_is_told() -> None:
    outside = [judged(500, 510, "true"), judged(1, 2, "true", unit="unit-9")]

    known = with_verdicts(history(), [judged(10, 12, "true"), *outside], n_recovery=15)

    assert rows(known.label_N) == [110, 111, 112]
    assert "2 incidents with a verdict are not in the rows read" in known.notes


def test_verdicts_of_which_none_is_in_the_history_are_refused() -> None:
    with pytest.raises(InputError, match="none of the 1 incidents"):
        with_verdicts(history(), [judged(500, 510, "true")], n_recovery=15)
