"""All the worker knows of Kafka. Implemented by `kafka_python` and by `memory`.

Both pass the same contract suite, `tests/pipeline/transport/test_contract.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pipeline.records import Message, Partition, Records


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

    def commit(self, next_offsets: Mapping[Partition, int], timeout_s: float) -> None:
        """Store, per partition, the offset of the next record to read.

        Raises:
            TransportError: the broker refused, or a partition was reassigned; or, and that
                is retriable, the broker did not answer within `timeout_s`. It may then
                store these offsets later.
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
