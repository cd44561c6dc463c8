"""From windows to incidents: the steps that a detector in use and one alongside share."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from pipeline.incident import Reopens
from pipeline.records import Readings
from pipeline.steps import Steps
from pipeline.turn import Stretch
from pipeline.window import LiveWindows


def decide(
    steps: Steps,
    readings: Readings,
    windows: LiveWindows,
    reopens: Reopens | None = None,
    timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> Stretch:
    """Score windows between which no unit was silent for long, and follow incidents.

    Args:
        steps: remember what comes of it.
        readings: the turn's.
        windows: those that some of them completed.
        reopens: see `IncidentTracker.update`.
        timed: times what is done within, by the step's name.
    """
    with timed("score"):
        steps.start_anew(windows.anew)
        scores = steps.scorer.score(windows.windows, windows.row_B, steps.units.names)
    with timed("incident"):
        steps.reach.extend(windows.arrived, steps.units.n_rows)
        decisions = steps.incidents.update(
            readings, windows, scores, steps.reach.offset_U, reopens
        )
    return Stretch(windows, scores, decisions)
