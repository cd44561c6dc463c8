"""Labels onto a history: which rows are anomalous, which are normal, and which neither."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.records import BoolArray
from trainer.history import History, shortened
from trainer.labels.lines import records
from trainer.labels.verdicts import Archive, Judged, Verdicts

COLUMN = "column"
"""In the place of a source: labels are in the history itself."""


def labelled_history(
    history: History,
    labels: str,
    alerts: str | None,
    n_recovery: int,
    env_file: Path | None,
) -> History:
    """A history of which labels are learned from.

    Args:
        history: with its column `label`, if it has one: 1 is anomalous.
        labels: `column`, or a source of feedback records, see `lines.records`.
        alerts: a source of the alerts of the incidents that have verdicts.
        n_recovery: scores in a row that closed an incident.
        env_file: with settings of Kafka's connection.

    Raises:
        InputError: a source cannot be read, or nothing of the history is labelled.
        TransportError: Kafka refused, or did not answer in time.
    """
    if labels == COLUMN:
        if alerts is not None:
            raise InputError("--alerts: goes with verdicts, not with --labels column")
        if not history.label_N.any():
            raise InputError("--labels column: no row of the history has the label 1")
        return replace(
            history,
            anomalous_N=history.label_N,
            silenced_N=np.zeros_like(history.label_N),
        )
    if alerts is None:
        raise InputError(
            f"--labels {labels}: verdicts name incidents; give their alerts with --alerts "
            "FILE or --alerts kafka://HOST:PORT/TOPIC"
        )
    archive = Archive()
    archive.add_all(records(alerts, env_file))
    if not len(archive):
        raise InputError(f"{alerts}: no alert in it {archive.malformed.first}".rstrip())
    verdicts = Verdicts(archive)
    verdicts.add_all(records(labels, env_file))
    judged = verdicts.judged()
    if not judged:
        told = "; ".join(verdicts.notes()[1:]) or "it is empty"
        raise InputError(f"{labels}: no verdict on an incident of {alerts}: {told}")
    history = with_verdicts(history, judged, n_recovery)
    return replace(history, notes=[*history.notes, *shortened(verdicts.notes())])


def with_verdicts(history: History, judged: Sequence[Judged], n_recovery: int) -> History:
    """Put verdicts on the rows of their incidents.

    A row of an incident that was `true` or `maintenance` is left out of what is normal; of
    `true` it is held against it. A row of one that was `false` or `expected` is normal,
    even if its label says otherwise.

    Args:
        history: each unit's rows in the order of time.
        judged: incidents.
        n_recovery: an incident's last rows, which closed it: not anomalous any more.

    Raises:
        InputError: no incident lies within the history.
    """
    true_N, held_N = np.zeros((2, len(history)), dtype=np.bool_)
    maintenance_N, silenced_N = np.zeros((2, len(history)), dtype=np.bool_)
    number_of = {unit: number for number, unit in enumerate(history.units)}
    n_outside = 0
    for span, is_closed, verdict in judged:
        rows = _rows(history, number_of.get(span.unit), span.begin_s, span.end_s)
        if rows.start == rows.stop:
            n_outside += 1
        elif verdict == "maintenance":
            maintenance_N[rows] = True
        elif verdict == "true":
            true_N[rows] = True
            n_quiet = n_recovery if is_closed else 0
            held_N[rows.start : max(rows.stop - n_quiet, rows.start + 1)] = True
        else:
            silenced_N[rows] = True
    if n_outside == len(judged):
        raise InputError(
            f"none of the {n_outside:,} incidents with a verdict lies within the history"
        )
    by_column_N = history.label_N & ~silenced_N
    out_N: BoolArray = by_column_N | true_N | maintenance_N
    notes = []
    if n_outside:
        notes.append(f"{n_outside:,} incidents with a verdict are not in the rows read")
    return replace(
        history,
        label_N=out_N,
        anomalous_N=(by_column_N | held_N) & ~maintenance_N & ~silenced_N,
        silenced_N=silenced_N & ~out_N,
        notes=[*history.notes, *notes],
    )


def _rows(history: History, unit: int | None, begin_s: float, end_s: float) -> slice:
    """A unit's rows between two times, both included."""
    if unit is None:
        return slice(0, 0)
    first, behind = history.begin_U[unit : unit + 2].tolist()
    time_s_N = history.time_s_N[first:behind]
    a = int(np.searchsorted(time_s_N, begin_s, side="left"))
    b = int(np.searchsorted(time_s_N, end_s, side="right"))
    return slice(first + a, first + max(a, b))
