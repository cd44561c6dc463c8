"""Units that have gone silent: nothing is kept of them, no restart reads so far back."""

import numpy as np

from pipeline.records import IntArray, Readings
from pipeline.steps import Steps


def give_up_idle(steps: Steps, readings: Readings, idle_s: float) -> int:
    """Have units start anew that are silent for `idle_s`, and return how many.

    The present is the median time of the partition's last readings: not the newest, for a
    single clock may be wrong, and an old stretch of a stream may be sent again. An open
    incident stays open, for silence is no recovery; but nobody reads back to it.

    Args:
        steps: no batch is in hand.
        readings: the last turn's.
        idle_s: in the units' own time, seconds.
    """
    partitions, number_U = steps.units.partitions()
    number_of = {partition: number for number, partition in enumerate(partitions)}
    now_s_P = np.full(len(partitions), -np.inf)
    known = [number for number, p in enumerate(readings.partitions) if p in number_of]
    for number in known:
        time_s = readings.time_s_N[readings.partition_N == number]
        if len(time_s):
            now_s_P[number_of[readings.partitions[number]]] = np.median(time_s)
    newest_s_U = steps.windows.newest_s_U[: len(number_U)]
    idle_U = newest_s_U < now_s_P[number_U[: len(newest_s_U)]] - idle_s
    rows: IntArray = np.flatnonzero(idle_U & (newest_s_U > -np.inf))
    if not len(rows):
        return 0
    is_open = np.isin(rows, list(steps.incidents.open_incidents()))
    steps.windows.forget(rows)
    steps.reach.forget(rows)
    steps.scorer.forget(rows)
    steps.incidents.forget_scores(rows)
    steps.incidents.leave_behind(rows)
    steps.units.free(rows[~is_open])
    return len(rows)
