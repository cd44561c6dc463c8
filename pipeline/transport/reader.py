"""Reading a stretch of a topic by oneself: in no group, and without leaving a trace."""

import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from pipeline.errors import TransportError
from pipeline.records import Partition, Record, Records

POLL_TIMEOUT_S = 0.25
QUIET_S = 15.0
"""Without a step in any partition: what is left belongs to transactions that are open."""


class Reader(Protocol):
    """One topic, as a client of either library reads it."""

    def begins(self, timeout_s: float) -> Mapping[Partition, int]:
        """The oldest offset that is kept of each partition.

        Raises:
            TransportError: the broker refused, or did not answer in time; or there is no
                such topic.
        """

    def ends(self, timeout_s: float) -> Mapping[Partition, int]:
        """The offset behind each partition's newest record. Raises as `begins`."""

    def offsets_at(self, time_ms: int, timeout_s: float) -> Mapping[Partition, int]:
        """The first record of each partition whose timestamp is not before `time_ms`.

        Partitions that have none are absent. Raises as `begins`.
        """

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions and no others, from these offsets on."""

    def poll(self, max_records: int, timeout_s: float) -> Records:
        """Return up to `max_records`, in offset order per partition; none on timeout.

        Raises:
            TransportError: the broker refused, or what it holds cannot be read.
        """

    def positions(self) -> Mapping[Partition, int]:
        """The next offset of each, with those passed that hold no record: what ends a
        transaction, and what one took back."""

    def close(self, timeout_s: float) -> None:
        """Disconnect within about `timeout_s`."""


def stretch(
    reader: Reader,
    begins: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    max_records: int,
    timeout_s: float,
) -> Iterator[list[Record]]:
    """The records from `begins` to before `ends`, by what polls return; some may be empty.

    A partition ends early where the rest is of transactions that stay open: nobody can say
    yet whether it was ever sent.

    Args:
        reader: is started anew.
        begins, ends: of the same partitions.
        max_records: largest poll.
        timeout_s: longest silence of the broker.

    Raises:
        TransportError: as `Reader.poll`; or the broker is silent, and retriable.
    """
    left = {p: end for p, end in ends.items() if begins[p] < end}
    reader.start({p: begins[p] for p in left})
    moved_at_s = time.monotonic()
    positions: Mapping[Partition, int] = {}
    while left:
        polled = reader.poll(max_records, POLL_TIMEOUT_S).records
        yield [r for r in polled if r.offset < left.get(Partition(r.topic, r.partition), 0)]
        before, positions = positions, dict(reader.positions())
        for partition in [p for p, end in left.items() if positions.get(p, 0) >= end]:
            del left[partition]
        # The time that whoever is given them took is not the broker's.
        if polled or positions != before:
            moved_at_s = time.monotonic()
        elif time.monotonic() - moved_at_s > QUIET_S:
            _expect_an_answer(reader, timeout_s)
            return


def _expect_an_answer(reader: Reader, timeout_s: float) -> None:
    """Raise TransportError if nobody is there: silence could also be that."""
    if not reader.ends(timeout_s):
        raise TransportError("the topic is gone", retriable=True)
