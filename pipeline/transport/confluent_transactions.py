"""Exactly-once publishing through confluent-kafka."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.errors import TransportError
from pipeline.records import Message, Partition
from pipeline.transport.base import MAX_TRANSACTION_S, Consumer
from pipeline.transport.client import GRACE_S, on_a_thread, topics_of
from pipeline.transport.confluent import ConfluentConsumer
from pipeline.transport.confluent_client import TOO_LARGE, translated, translated_errors
from pipeline.transport.confluent_producer import ConfluentProducer
from pipeline.transport.transactions import Transactions


class ConfluentTransactions(Transactions):
    """See `base.TransactionalProducer`; and `KafkaPythonTransactions` for the options."""

    def __init__(
        self, *, transactional_id: str, delivery_timeout_s: float = 30.0, **options: Any
    ) -> None:
        client = _Client(transactional_id, delivery_timeout_s=delivery_timeout_s, **options)
        super().__init__(client, delivery_timeout_s)


class _Client(ConfluentProducer):
    """See `transactions.TransactionalClient`."""

    def __init__(
        self, transactional_id: str, *, delivery_timeout_s: float, **options: Any
    ) -> None:
        self.transaction_timeout_s = min(delivery_timeout_s, MAX_TRANSACTION_S)
        self._transactional_id = transactional_id
        super().__init__(delivery_timeout_s=delivery_timeout_s, **options)

    def begin(self, deadline_s: float) -> None:
        self._open_client(deadline_s)
        self._end(lambda _: self._client.begin_transaction(), deadline_s)

    def publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        self._send(messages, deadline_s)

    def prepare(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str],
    ) -> Any:
        if not isinstance(consumer, ConfluentConsumer):
            raise TypeError(f"needs a ConfluentConsumer, got {type(consumer).__name__}")
        return consumer.in_transaction(next_offsets, notes)

    def commit(self, prepared: Any, deadline_s: float) -> None:
        clients = [self._client]

        def commit(timeout_s: float) -> None:
            # It goes on by itself after a time-out, and is not to commit then.
            client = clients.pop()
            parts, member = prepared
            for offsets in parts:
                client.send_offsets_to_transaction(offsets, member, timeout_s)
            client.commit_transaction(max(0.0, deadline_s - time.monotonic()))

        self._end(commit, deadline_s)

    def abort(self, deadline_s: float) -> None:
        self._end(lambda timeout_s: self._client.abort_transaction(timeout_s), deadline_s)

    def settle(self, deadline_s: float) -> None:
        self.discard()
        self._open_client(deadline_s)

    def discard(self) -> None:
        if self._client is not None:
            self._discard_client()

    def _end(self, call: Callable[[float], object], deadline_s: float) -> None:
        timeout_s = max(0.0, deadline_s - time.monotonic())
        try:
            with translated_errors(self._name):
                # On a thread: while librdkafka waits, Python handles no signal.
                on_a_thread(lambda: call(timeout_s), timeout_s + GRACE_S)
        except TimeoutError as error:
            self._discard_client()
            raise TransportError(
                f"{self._name}: a transaction was not answered within {timeout_s:g} s",
                retriable=True,
            ) from error
        except BaseException:
            self._discard_client()
            raise

    def _publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        # Not in halves: once a batch is refused, so is all that follows in the transaction.
        failures = self._failures(messages, deadline_s)
        # Those behind one that is too large are refused, too, and for another reason.
        for index in sorted(
            failures, key=lambda i: (failures[i].code() not in TOO_LARGE, i)
        ):
            raise translated(topics_of([messages[index]], self._servers), failures[index])

    def _more_options(self) -> Mapping[str, object]:
        return {
            "transactional_id": self._transactional_id,
            "transaction_timeout_ms": round(self.transaction_timeout_s * 1000),
        }

    def _connect(self, timeout_s: float) -> Any:
        self._client = super()._connect(timeout_s)
        self._end(
            lambda remaining_s: self._client.init_transactions(remaining_s),
            time.monotonic() + timeout_s,
        )
        return self._client
