"""All the worker knows of Kafka. Implemented by `kafka_python` and by `memory`.

All pass the same contract suite, `tests/pipeline/transport/test_contract*.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from pipeline.records import Message, Partition, Records

MAX_TRANSACTION_S = 60.0
"""The broker ends a transaction that takes longer."""
NO_NOTES: Mapping[Partition, str] = MappingProxyType({})


class Committed(NamedTuple):
    """What a group has stored of one partition."""

    next_offset: int
    """Of the next record to read."""
    note: str
    """The text beside it. Empty where the group's offsets were set by a tool."""


class RebalanceListener(Protocol):
    """Told, from inside `Consumer.poll` or `keep_alive`, which partitions come and go.

    Only the partitions that change are named: those that stay keep flowing. The calls may
    come on another thread than the poll's, which waits for them to return.
    """

    def on_assigned(self, partitions: Collection[Partition]) -> None:
        """These are new here; their first records come with a later poll."""

    def on_revoked(self, partitions: Collection[Partition]) -> None:
        """These go to another member once this returns; `commit` still works for them."""

    def on_lost(self, partitions: Collection[Partition]) -> None:
        """These already belong to another member; `commit` no longer works for them."""


class Consumer(Protocol):
    """One member of a consumer group, subscribed to one topic."""

    def poll(self, max_records: int, timeout_s: float) -> Records:
        """Return up to `max_records`, in offset order per partition; none on timeout.

        Every record is returned once to this member, until a rebalance moves its partition.

        Raises:
            TransportError: the broker refused, or what it holds cannot be read; retriable
                faults are retried within.
        """

    def keep_alive(self) -> None:
        """Stay a member, and take part in rebalances, while no record is wanted.

        Without waiting for anybody. What is fetched meanwhile comes with the next poll.

        Raises:
            TransportError: as `poll` does.
        """

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        """Store, per partition, the offset of the next record to read.

        Args:
            next_offsets: what to store.
            timeout_s: longest wait for the broker.
            notes: ASCII text to store beside it; no text where none is given. Brokers take
                4,096 bytes unless they are set up otherwise, of which one client needs
                one for itself.

        Raises:
            TransportError: the broker refused (a note may be too long), or a partition was
                reassigned; or, and that is retriable, the broker did not answer within
                `timeout_s`. It may then store these offsets later.
        """

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> Mapping[Partition, Committed]:
        """What the group has stored of those of `partitions` of which it has anything.

        `RebalanceListener.on_assigned` may ask for it.

        Raises:
            TransportError: the broker refused, or did not answer within `timeout_s`.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Have the next poll of this partition begin at `offset`, which is not negative.

        From `RebalanceListener.on_assigned`, for a partition that it names; or between two
        polls, for one that is this member's. Where the log begins later, so does reading,
        wherever a new group would begin.
        """

    def assignment(self) -> frozenset[Partition]:
        """The partitions that are this member's now."""

    def lag(self) -> Mapping[Partition, int]:
        """Records between this member's position and the end, per assigned partition.

        As of the last fetch: it asks the broker nothing. A partition that has not been
        fetched from yet is absent.
        """

    def close(self, timeout_s: float) -> None:
        """Leave the group (a static member only disconnects).

        Commits nothing and tells the listener nothing. Returns within about `timeout_s`,
        whether or not the broker answers.
        """


class Producer(Protocol):
    """Publishes, and returns only once what it published is safe."""

    def send(self, messages: Sequence[Message]) -> None:
        """Publish all, in order per key, and return once every one is acknowledged.

        Messages of one key go to one partition of a topic. None of `messages` is lost if
        this returns; if it raises, any of them may have been published.

        Raises:
            MessageTooLarge: one of them is larger than the broker or the client takes.
            TransportError: the broker refused, or did not answer in time.
        """

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        """Return those of `topics` that do not exist and that the broker does not create.

        Asking creates a missing topic where the broker creates topics by itself. It has
        `timeout_s` to do so: only if a topic is missing does this take that long.

        Raises:
            TransportError: this client may not use one of `topics`; or, and that is
                retriable, the broker did not answer within `timeout_s`.
        """

    def close(self, timeout_s: float) -> None:
        """Disconnect within about `timeout_s`, whether or not the broker answers."""


class TransactionalProducer(Producer, Protocol):
    """What it publishes appears together with the offsets that it came of, or not at all.

    To consumers that read what is committed, that is. A transaction begins with the first
    `send` or `commit` after the last one has ended.
    """

    def send(self, messages: Sequence[Message]) -> None:
        """Add all to the transaction, in order per key.

        If this raises, none of them is part of it; what was added before still is.

        Raises:
            MessageTooLarge, TransportError: as `Producer.send`; or, and that is not
                retriable, another producer has taken over.
        """

    def commit(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        """End the transaction: publish what was added, and store offsets and notes.

        Args:
            consumer: of the same transport, and reading what is committed. Once it is no
                member of its group any more the broker refuses.
            next_offsets, notes: as `Consumer.commit`.
            timeout_s: longest wait for the broker; connecting again, and sending again
                what was added, are bounded each by the time-outs of the producer.

        Raises:
            TransportError: as `Consumer.commit`; or another producer has taken over. If
                this is retriable, what was added waits for the next `commit`, which
                publishes it once, even if this one has come to pass unanswered.
        """

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        """Take back what was added since the last `commit` and came of these.

        An exception is a `commit` that was not answered: it may have come to pass, with
        the offsets of these. Never raises.

        Args:
            partitions: see `Message.source`.
            timeout_s: longest wait for the broker, where nothing is left; a transaction
                that cannot be ended now the broker ends, after a while.
        """

    def close(self, timeout_s: float) -> None:
        """Abort, and disconnect, within about `timeout_s`."""
