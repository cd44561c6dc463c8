"""Sends dead letters back to the topics they came from, once what was wrong is mended."""

import threading
import time
from collections.abc import Callable, Collection, Sequence

from pipeline.errors import InputError, TransportError
from pipeline.records import Partition, Record, behind
from pipeline.redrive_choice import SENT_BEFORE, Choice, Summary, reason_of
from pipeline.settled import Settled
from pipeline.transport.base import Consumer, Producer, RebalanceListener

MAX_RECORDS = 100
"""Sent, and then committed, at once: what a crash may send a second time."""
MAX_GATHERED = 1_000
POLL_TIMEOUT_S = 0.25
ANSWER_TIMEOUT_S = 10.0
QUIET_POLLS = 20
"""Without a record: what is left are offsets that no record has, as transactions leave."""
ASSIGNED_WITHIN_S = 30.0


class Redrive:
    """One call, from start to end: a member of the group of all calls for this topic.

    Owns how far each of its partitions is settled, and where its end was at first sight:
    what fails again meanwhile comes after that, and is not sent a second time.
    """

    def __init__(
        self,
        choice: Choice,
        connect: Callable[[RebalanceListener], Consumer],
        producer: Producer,
    ) -> None:
        """Join the group.

        Args:
            choice: what is sent back.
            connect: makes the consumer of the dead-letter topic.
            producer: sends.
        """
        self._choice = choice
        self._producer = producer
        self._settled: dict[Partition, Settled] = {}
        self._ends: dict[Partition, int] = {}
        self._done: set[Partition] = set()
        self._gathered: list[Record] = []
        self._topics: set[str] = set()
        self.summary = Summary()
        self._consumer = connect(self)

    def run(self, stop: threading.Event) -> None:
        """Send back all there is, or `limit`, or until `stop` is set.

        Raises:
            InputError: a topic to send to does not exist.
            TransportError: Kafka refused, or did not answer in time; or another call has
                all partitions.
        """
        n_quiet = 0
        began_s = time.monotonic()
        while not stop.is_set() and not self._is_full():
            records = self._consumer.poll(MAX_RECORDS, POLL_TIMEOUT_S).records
            n_quiet = 0 if records else n_quiet + 1
            self._gathered += records
            self._see_ends(records)
            assigned = self._consumer.assignment()
            if not assigned:
                self._refuse_to_wait(time.monotonic() - began_s)
                continue
            is_quiet = n_quiet >= QUIET_POLLS
            # Not before every end is known: what is sent may come back behind another's.
            if self._ends.keys() >= assigned or is_quiet or self._has_enough():
                gathered, self._gathered = self._gathered, []
                self._send_back(gathered)
                if self._done >= assigned:
                    return
            if is_quiet:
                # An answer at all: silence could also be that of a broker that is gone.
                self._consumer.committed(assigned, ANSWER_TIMEOUT_S)
                return

    def close(self, timeout_s: float) -> None:
        """Leave the group."""
        self._consumer.close(timeout_s)

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        committed = self._consumer.committed(partitions, ANSWER_TIMEOUT_S)
        for partition in partitions:
            settled = Settled.of(committed.get(partition))
            self._settled[partition] = settled
            self._consumer.seek(partition, settled.begin(self._choice.reasons))

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        # What was gathered of them is not committed, and so their new owner's.
        self._gathered = [
            r for r in self._gathered if Partition(r.topic, r.partition) not in partitions
        ]
        for partition in partitions:
            self._ends.pop(partition, None)
            self._done.discard(partition)

    def on_lost(self, partitions: Collection[Partition]) -> None:
        self.on_revoked(partitions)

    def _is_full(self) -> bool:
        limit = self._choice.limit
        return limit is not None and self.summary.sent.total() >= limit

    def _has_enough(self) -> bool:
        return len(self._gathered) >= MAX_GATHERED

    def _refuse_to_wait(self, waited_s: float) -> None:
        if waited_s > ASSIGNED_WITHIN_S:
            raise TransportError(
                f"no partition of {self._choice.dead_letters_topic} for "
                f"{ASSIGNED_WITHIN_S:g} s: another `pipeline redrive` has them all; "
                "run it again once that has ended",
                retriable=True,
            )

    def _see_ends(self, records: Sequence[Record]) -> None:
        """Take note of the ends of partitions that are seen for the first time."""
        positions = behind(records)
        lag = self._consumer.lag()
        for partition in self._consumer.assignment() & lag.keys():
            if lag[partition] == 0:
                self._done.add(partition)
                self._ends.setdefault(partition, positions.get(partition, 0))
            elif partition in positions:
                end = positions[partition] + lag[partition]
                self._ends.setdefault(partition, end)

    def _send_back(self, records: Sequence[Record]) -> None:
        """Send those that are chosen, then commit, `MAX_RECORDS` at a time."""
        for begin in range(0, len(records), MAX_RECORDS):
            passed, chosen = self._chosen(records[begin : begin + MAX_RECORDS])
            if self._choice.is_dry_run:
                continue
            messages = [self._choice.returned(record) for record in chosen]
            self._check_topics({message.topic for message in messages})
            self._producer.send(messages)
            self._commit(passed)

    def _chosen(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """Those that are dealt with now, and of these those to send; counts them."""
        passed: list[Record] = []
        chosen: list[Record] = []
        for record in records:
            if self._is_full():
                break
            partition = Partition(record.topic, record.partition)
            end = self._ends.get(partition, record.offset + 2)
            if record.offset + 1 >= end:
                self._done.add(partition)
            if record.offset >= end:
                continue
            passed.append(record)
            refusal = self._choice.refusal(record)
            if self._settled[partition].holds(record.offset, reason_of(record)):
                refusal = SENT_BEFORE
            self.summary.count(record, refusal)
            if refusal is None:
                chosen.append(record)
        return passed, chosen

    def _check_topics(self, topics: set[str]) -> None:
        new = sorted(topics - self._topics)
        if new and (missing := self._producer.check_topics(new, ANSWER_TIMEOUT_S)):
            raise InputError(
                f"Kafka has no topic {missing[0]!r} to send to; create it, or name another "
                "by --to-topic"
            )
        self._topics |= topics

    def _commit(self, passed: Sequence[Record]) -> None:
        ours = {
            partition: self._settled[partition].up_to(offset, self._choice.reasons)
            for partition, offset in behind(passed).items()
        }
        self._settled |= ours
        self._consumer.commit(
            {partition: settled.all_before for partition, settled in ours.items()},
            ANSWER_TIMEOUT_S,
            {partition: settled.note() for partition, settled in ours.items()},
        )
