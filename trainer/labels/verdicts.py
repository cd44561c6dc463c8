"""From records to what is known of a unit's time: incidents, and verdicts on them."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline import alert, feedback
from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.feedback import Verdict
from pipeline.times import parse_iso_s
from trainer.labels.lines import Listed, Malformed

MAX_INCIDENTS = 1_000_000
"""That verdicts are looked up among, 300 bytes each."""


class Judged(NamedTuple):
    """An incident with its verdict."""

    span: Span
    """To its last alert, where it has not closed."""
    is_closed: bool
    verdict: Verdict


@dataclass(slots=True)
class Archive:
    """Incidents of any detector, from their alerts in any order; repeats change nothing."""

    malformed: Malformed = field(default_factory=lambda: Malformed("alert"))
    _incidents: dict[str, tuple[Span, bool]] = field(default_factory=dict)

    def add_all(self, records: Iterable[Listed]) -> None:
        """Take alert records. What is none is counted.

        Raises:
            InputError: there are too many incidents.
        """
        for where, value in records:
            try:
                self._add(alert.decode(value))
            except (InputError, ValueError, RecursionError) as error:
                self.malformed.add(where, error)
            if len(self._incidents) > MAX_INCIDENTS:
                raise InputError(
                    f"{where}: more than {MAX_INCIDENTS:,} incidents; give the alerts of "
                    "the history's time alone"
                )

    def _add(self, record: alert.Alert) -> None:
        begin_s, end_s = parse_iso_s(record.opened_at), parse_iso_s(record.time)
        is_closed = record.closed_at is not None
        known = self._incidents.get(record.incident_id)
        if known is not None:
            end_s, is_closed = max(end_s, known[0].end_s), is_closed or known[1]
        span = Span(record.unit, begin_s, end_s)
        self._incidents[record.incident_id] = (span, is_closed)

    def __len__(self) -> int:
        return len(self._incidents)

    def get(self, incident_id: str) -> tuple[Span, bool] | None:
        """When and where an incident was, and whether it has closed."""
        return self._incidents.get(incident_id)


@dataclass(slots=True)
class Verdicts:
    """The latest verdict on each incident of an archive.

    By `when`; of two at the same time the one that comes later counts.
    """

    archive: Archive
    malformed: Malformed = field(default_factory=lambda: Malformed("feedback"))
    n_unknown: int = 0
    """Verdicts on incidents that the archive does not have."""
    _latest: dict[str, tuple[float, Verdict]] = field(default_factory=dict)

    def add_all(self, records: Iterable[Listed]) -> None:
        """Take feedback records. What is none is counted, and so are unknown incidents."""
        for where, value in records:
            try:
                said, when_s = feedback.decode(value)
            except InputError as error:
                self.malformed.add(where, error)
                continue
            if self.archive.get(said.incident_id) is None:
                self.n_unknown += 1
                continue
            latest_s, _ = self._latest.get(said.incident_id, (-math.inf, None))
            if when_s >= latest_s:
                self._latest[said.incident_id] = (when_s, said.word)

    def judged(self) -> list[Judged]:
        """The incidents that have a verdict, in the order they opened."""
        judged = []
        for name, (_, verdict) in self._latest.items():
            known = self.archive.get(name)
            if known is not None:
                judged.append(Judged(*known, verdict))
        return sorted(judged, key=lambda j: (j.span.begin_s, j.span.unit, j.span.end_s))

    def notes(self) -> list[str]:
        """What was taken, and what was not, in words."""
        n_of = Counter(verdict for _, verdict in self._latest.values())
        said = ", ".join(f"{n_of[word]:,} {word}" for word in feedback.VERDICTS)
        notes = [f"verdicts on {len(self._latest):,} incidents: {said}"]
        if self.n_unknown:
            notes.append(
                f"{self.n_unknown:,} verdicts left out: no alert has their incident"
            )
        return [*notes, *self.malformed.notes(), *self.archive.malformed.notes()]
