"""Units that are silent: they would start anew, so nothing is kept of them."""

import numpy as np

from pipeline.records import IntArray, Readings
from pipeline.steps import Steps

LOOK_FOR_IDLE_EVERY_S = 60.0


def give_up_idle(steps: Steps, readings: Readings) -> int:
    """Forget units that are silent for long, and return how many.

    A reading of the present would have them start anew in any case, see `SlidingWindows`.
    The present is the median time of the partition's last readings: not the newest, for a
    single clock may be wrong, and an old stretch of a stream may be sent again. An open
    incident stays open; but nobody reads back to it.

    Args:
        steps: no batch is in hand.
        readings: the last turn's.
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
    is_idle_U = now_s_P[number_U[: len(newest_s_U)]] - newest_s_U > steps.windows.idle_s
    rows: IntArray = np.flatnonzero(is_idle_U)
    if not len(rows):
        return 0
    is_open = np.isin(rows, list(steps.incidents.open_incidents()))
    steps.windows.forget(rows)
    steps.start_anew(rows)
    steps.incidents.leave_behind(rows)
    steps.units.free(rows[~is_open])
    return len(rows)
