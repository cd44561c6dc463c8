"""Exactly-once publishing through kafka-python."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.records import Message, Partition
from pipeline.transport.base import MAX_TRANSACTION_S, Consumer
from pipeline.transport.client import on_a_thread
from pipeline.transport.kafka_client import translated_errors
from pipeline.transport.kafka_python import KafkaPythonConsumer
from pipeline.transport.kafka_python_producer import KafkaPythonProducer
from pipeline.transport.transactions import Transactions


class KafkaPythonTransactions(Transactions):
    """See `base.TransactionalProducer`."""

    def __init__(
        self, *, transactional_id: str, delivery_timeout_s: float = 30.0, **options: Any
    ) -> None:
        """Connect, and end what an earlier producer of this id has left open.

        Args:
            transactional_id: one process's alone. It fences those before it; which
                offsets it may store is up to the group, so it need not be a partition's.
            delivery_timeout_s: as for `KafkaPythonProducer`; and the broker aborts a
                transaction that takes longer.
            options: as for `KafkaPythonProducer`.

        Raises:
            InputError, TransportError: as `KafkaPythonProducer`.
        """
        client = _Client(transactional_id, delivery_timeout_s=delivery_timeout_s, **options)
        super().__init__(client, delivery_timeout_s)


class _Client(KafkaPythonProducer):
    """See `transactions.TransactionalClient`."""

    def __init__(
        self, transactional_id: str, *, delivery_timeout_s: float, **options: Any
    ) -> None:
        self.transaction_timeout_s = min(delivery_timeout_s, MAX_TRANSACTION_S)
        self._transactional_id = transactional_id
        super().__init__(delivery_timeout_s=delivery_timeout_s, **options)

    def begin(self, deadline_s: float) -> None:
        client = self._open_client(deadline_s)
        self._end(client.begin_transaction, deadline_s)

    def publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        self._send(messages, deadline_s)

    def prepare(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str],
    ) -> Any:
        if not isinstance(consumer, KafkaPythonConsumer):
            raise TypeError(f"needs a KafkaPythonConsumer, got {type(consumer).__name__}")
        return consumer.in_transaction(next_offsets, notes)

    def commit(self, prepared: Any, deadline_s: float) -> None:
        client = self._client
        parts, member = prepared

        def commit() -> None:
            for offsets in parts:
                client.send_offsets_to_transaction(offsets, member)
            client.commit_transaction()

        self._end(commit, deadline_s)

    def abort(self, deadline_s: float) -> None:
        self._end(self._client.abort_transaction, deadline_s)

    def settle(self, deadline_s: float) -> None:
        self.discard()
        self._open_client(deadline_s)

    def discard(self) -> None:
        if self._client is not None:
            self._discard_client()

    def _end(self, call: Callable[[], object], deadline_s: float) -> None:
        try:
            with translated_errors(self._name):
                # Its calls take no time-out.
                on_a_thread(call, max(0.0, deadline_s - time.monotonic()))
        except BaseException:
            self._discard_client()
            raise

    def _more_options(self) -> Mapping[str, object]:
        return {
            "transactional_id": self._transactional_id,
            "transaction_timeout_ms": round(self.transaction_timeout_s * 1000),
        }

    def _connect(self, timeout_s: float) -> Any:
        self._client = super()._connect(timeout_s)
        self._end(self._client.init_transactions, time.monotonic() + timeout_s)
        return self._client
