"""When bad records stop being the sender's problem and become ours."""

import math

from pipeline.errors import StreamUnreadable


class RejectionLimit:
    """Stops the worker when too large a share of the stream cannot be read.

    Owns the counts of the current period. One bad record is its sender's problem and is
    dead-lettered. A period full of them is ours (a new schema, a wrong topic), and
    dead-lettering the whole stream would hide it.
    """

    def __init__(self, max_fraction: float, min_records: int, period_s: float) -> None:
        self._max_fraction = max_fraction
        self._min_records = min_records
        self._period_s = period_s
        self._period_began_s = -math.inf
        self._n_seen = 0
        self._n_rejected = 0

    def count(self, n_seen: int, n_rejected: int, now_s: float) -> None:
        """Add one poll's counts.

        Args:
            n_seen: records, those rejected among them.
            n_rejected: records that could not be read.
            now_s: monotonic clock.

        Raises:
            StreamUnreadable: over `max_fraction` of this period's records were rejected.
        """
        if now_s - self._period_began_s >= self._period_s:
            self._period_began_s, self._n_seen, self._n_rejected = now_s, 0, 0
        self._n_seen += n_seen
        self._n_rejected += n_rejected
        # A share means little among few records: the first one after a restart may be bad.
        if self._n_seen < self._min_records:
            return
        if self._n_rejected > self._max_fraction * self._n_seen:
            raise StreamUnreadable(
                f"{self._n_rejected} of the last {self._n_seen} records were rejected "
                f"(limit {self._max_fraction:.0%}); the dead-letter topic says why. "
                "Is this the right topic, and does its schema fit the detector? "
                "PIPELINE_REJECTS__MAX_FRACTION=1 goes on regardless"
            )
