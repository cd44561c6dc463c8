"""Transactions that outlive their connection, whichever client makes it."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import MessageTooLarge, TransportError
from pipeline.records import Message, Partition
from pipeline.transport.base import NO_NOTES, Committed, Consumer
from pipeline.transport.client import Fenced


class TransactionalClient(Protocol):
    """One client's transactions. Whatever raises has discarded the connection.

    Connecting anew ends what an earlier connection of the same transactional id has left
    open: as a commit if it had got so far, and else as an abort.
    """

    transaction_timeout_s: float
    """After so long the broker aborts a transaction."""

    def begin(self, deadline_s: float) -> None:
        """Begin a transaction, on a new connection if there is none."""

    def publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        """Have all of them in the transaction, acknowledged."""

    def prepare(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str],
    ) -> Any:
        """What `commit` is to be given. Asks nobody, and leaves the transaction be.

        Raises:
            TransportError: a partition is another member's, or, and that is retriable,
                a rebalance is under way.
        """

    def commit(self, prepared: Any, deadline_s: float) -> None:
        """Store the offsets with the transaction, and end it."""

    def abort(self, deadline_s: float) -> None:
        """End it."""

    def settle(self, deadline_s: float) -> None:
        """Have no transaction open, through a new connection."""

    def discard(self) -> None:
        """Give the connection up, if there is one."""

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        """As `Producer.check_topics`."""

    def close(self, timeout_s: float) -> None:
        """As `Producer.close`."""


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A commit of which it is not known whether it has come to pass."""

    consumer: Consumer
    stored: Mapping[Partition, Committed]
    """What the group has stored if it has."""


class Transactions:
    """See `base.TransactionalProducer`.

    Owns what was added since the last commit. Neither library goes on safely with a
    transaction in which anything failed, so whatever fails costs the connection; the next
    one begins a transaction and adds all of it again.
    """

    def __init__(self, client: TransactionalClient, delivery_timeout_s: float) -> None:
        self._client = client
        self._delivery_timeout_s = delivery_timeout_s
        # By call: what fits into a batch together once does so again.
        self._added: list[Sequence[Message]] = []
        self._unanswered: _Unanswered | None = None
        self._begun_at_s: float | None = None
        self._may_be_open = False
        """Whether the broker may hold a transaction of ours, which others wait for."""
        self._fenced: Fenced | None = None

    def send(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        with self._fenced_for_good():
            self._resume(time.monotonic() + self._delivery_timeout_s)
            n_before = len(self._added)
            try:
                self._send(messages)
            except BaseException:
                if len(self._added) > n_before:
                    # Halves of it are in the transaction already.
                    del self._added[n_before:]
                    self._discard()
                raise

    def commit(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        prepared = self._client.prepare(consumer, next_offsets, notes)
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        with self._fenced_for_good():
            self._commit(prepared, consumer, next_offsets, deadline_s, notes)

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        left = [
            [message for message in messages if message.source not in partitions]
            for messages in self._added
        ]
        if sum(map(len, left)) == sum(map(len, self._added)):
            return
        self._added = [messages for messages in left if messages]
        if self._added:
            # Ended, and begun anew with what is left, once there is more or a commit.
            self._discard()
        else:
            self._abort(timeout_s)

    def _abort(self, timeout_s: float) -> None:
        self._added.clear()
        self._unanswered = None
        was_begun = self._begun_at_s is not None
        self._begun_at_s = None
        if not self._may_be_open or self._fenced is not None:
            return
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        # Readers wait for the end of what is open, at worst until the broker ends it.
        with suppress(TransportError):
            if was_begun:
                with suppress(TransportError), self._fenced_for_good():
                    self._client.abort(deadline_s)
                    self._may_be_open = False
                    return
            with self._fenced_for_good():
                self._client.settle(deadline_s)
                self._may_be_open = False

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        return self._client.check_topics(topics, timeout_s)

    def close(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        self._abort(timeout_s)
        self._client.close(max(0.0, deadline_s - time.monotonic()))

    def _send(self, messages: Sequence[Message]) -> None:
        deadline_s = time.monotonic() + self._delivery_timeout_s
        self._resume(deadline_s)
        try:
            self._client.publish(messages, deadline_s)
        except MessageTooLarge:
            self._begun_at_s = None
            if len(messages) == 1:
                raise
            # It may be that only all of them together are.
            middle = len(messages) // 2
            self._send(messages[:middle])
            self._send(messages[middle:])
        except BaseException:
            self._begun_at_s = None
            raise
        else:
            self._added.append(messages)

    def _commit(
        self,
        prepared: Any,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        deadline_s: float,
        notes: Mapping[Partition, str],
    ) -> None:
        self._resume(deadline_s)
        stored = {
            p: Committed(offset, notes.get(p, "")) for p, offset in next_offsets.items()
        }
        self._unanswered = _Unanswered(consumer, stored)
        self._begun_at_s = None
        self._client.commit(prepared, deadline_s)
        self._may_be_open = False
        self._unanswered = None
        self._added.clear()

    def _resume(self, deadline_s: float) -> None:
        """Be in a transaction that holds all that was added."""
        if self._begun_at_s is not None:
            open_s = time.monotonic() - self._begun_at_s
            if open_s < self._client.transaction_timeout_s / 2:
                return
            # The broker might end it under our hands, and call that fenced.
            self._discard()
        self._client.begin(deadline_s)
        self._may_be_open = True
        try:
            if self._unanswered is not None:
                self._find_out(self._unanswered, deadline_s)
            for messages in self._added:
                self._client.publish(messages, deadline_s)
        except BaseException:
            self._discard()
            raise
        self._begun_at_s = time.monotonic()

    def _find_out(self, commit: _Unanswered, deadline_s: float) -> None:
        """Whether an unanswered commit has come to pass, which is settled by now."""
        timeout_s = max(0.0, deadline_s - time.monotonic())
        stored = commit.consumer.committed(list(commit.stored), timeout_s)
        # All or none of it has; what has gone since, another member may have moved on.
        kept = commit.stored.keys() & commit.consumer.assignment() or commit.stored.keys()
        if all(stored.get(p) == commit.stored[p] for p in kept):
            self._added.clear()
        self._unanswered = None

    @contextmanager
    def _fenced_for_good(self) -> Iterator[None]:
        """A new connection would fence the one by which we were."""
        if self._fenced is not None:
            raise self._fenced
        try:
            yield
        except Fenced as error:
            self._fenced = error
            raise

    def _discard(self) -> None:
        self._begun_at_s = None
        self._client.discard()


def not_a_member(name: str) -> TransportError:
    """For offsets that nobody would keep a zombie from storing."""
    return TransportError(
        f"{name}: cannot commit now: a rebalance is under way", retriable=True
    )
