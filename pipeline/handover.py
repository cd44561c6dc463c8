"""From one detector to another between two batches: what goes on, and what begins anew.

Windows go on where both take windows of the same sensors and length. Open incidents go on
under their ids, and close once the new detector's scores say so. Scores begin anew: those
of the old detector say nothing of the new one's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.incident import Explanation
from pipeline.note import Incident
from pipeline.records import FloatArray, IntArray, Partition
from pipeline.recovery import Recovery
from pipeline.steps import Steps
from pipeline.transport.base import Consumer

MISSING = -1
"""The column of a sensor that the old detector does not have."""


def without_room(new: Steps, old: Steps) -> str | None:
    """Why `new` must not go on: not all units that `old` knows have room in it."""
    n_units, max_units = len(old.units), new.units.max_units
    if n_units <= max_units:
        return None
    return (
        f"{new.loaded.manifest.name}: {n_units} units are known, and with windows of this "
        f"detector there is room for {max_units}: raise PIPELINE_MAX_STATE_BYTES"
    )


def hand_over(
    new: Steps,
    old: Steps,
    recovery: Recovery,
    consumer: Consumer,
    next_offsets: Mapping[Partition, int],
    timeout_s: float,
) -> tuple[Steps, int]:
    """Have `new` go on where `old` ends; all before is committed, no batch is in hand.

    Args:
        new: has seen nothing yet.
        old: is given up.
        recovery: is told.
        consumer: has nothing polled that is not dealt with.
        next_offsets: of its partitions, what was committed last.
        timeout_s: longest wait for what is committed.

    Returns:
        The steps to go on with, and how many records are read again for them.

    Raises:
        TransportError: what is committed cannot be known, or reading cannot go back. `old`
            is as before; the next attempt begins anew.
    """
    ours = consumer.assignment()
    unfinished = recovery.unfinished(ours)
    has_same_windows = _shape(new) == _shape(old)
    anew = unfinished if has_same_windows else ours
    stored = consumer.committed(anew, timeout_s)
    carried = _carried(new, old)
    known = {p: carried.get(p, []) for p in anew - unfinished}
    recovery.forget(anew)
    n_records = recovery.take_over(consumer, stored, new.codec, known)
    if has_same_windows:
        old.forget(anew)
        new = _continued(new, old, {p: carried[p] for p in carried.keys() - anew})
        recovery.hand_over({p: next_offsets[p] for p in next_offsets.keys() - anew})
    return new, n_records


def _continued(
    new: Steps, old: Steps, carried: Mapping[Partition, Sequence[Incident]]
) -> Steps:
    """`new`, with the units and windows of `old`."""
    old.reach.go_on(new.reach.n_readings)
    old.units.max_units = new.units.max_units
    new = replace(new, units=old.units, windows=old.windows, reach=old.reach)
    for partition, incidents in carried.items():
        for unit, incident in incidents:
            new.restore(partition, unit, incident)
    return new


def _carried(new: Steps, old: Steps) -> dict[Partition, list[Incident]]:
    """What is open in `old`, as `new` goes on with it, by partition."""
    old_column_of = {name: f for f, name in enumerate(old.loaded.detector.sensors)}
    names = new.loaded.detector.sensors
    column_F = np.array([old_column_of.get(name, MISSING) for name in names])
    partitions, number_U = old.units.partitions()
    carried: defaultdict[Partition, list[Incident]] = defaultdict(list)
    for row, incident in old.incidents.open_incidents().items():
        partition, unit = partitions[number_U[row]], old.units.names[row]
        moved = replace(
            incident,
            explanation=_moved(incident.explanation, column_F),
            is_restored=True,
            opened_by=incident.opened_by or old.loaded.digest,
        )
        carried[partition].append((unit, moved))
    return carried


def _moved(why: Explanation, column_F: IntArray) -> Explanation:
    """The same by other columns, `MISSING` where there was none."""

    def moved(of_old_F: FloatArray, otherwise: float) -> FloatArray:
        values_F = np.where(column_F == MISSING, np.float32(otherwise), of_old_F[column_F])
        return np.asarray(values_F, dtype=np.float32)

    return Explanation(
        moved(why.contribution_F, 0.0),
        moved(why.observed_F, np.nan),
        moved(why.expected_F, 0.0),
        # Latent vectors of two detectors do not compare.
        np.empty(0, dtype=np.float32),
    )


def _shape(steps: Steps) -> tuple[tuple[str, ...], int]:
    return steps.loaded.detector.sensors, steps.loaded.detector.window
