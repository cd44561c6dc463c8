"""The publishing half of `kafka_python`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import kafka
from kafka.errors import KafkaError

from pipeline.errors import TransportError
from pipeline.records import Message
from pipeline.transport.kafka_client import (
    METADATA_MAX_AGE_S,
    NO_OPTIONS,
    connected,
    translated_errors,
)


class KafkaPythonProducer:
    """Publishes with acks from all replicas, idempotently. See `base.Producer`.

    A null header value arrives as an empty one: kafka-python cannot write it.
    """

    # What is queued in the client at once. kafka-python itself sets no bound.
    MAX_QUEUED_MESSAGES = 10_000
    MAX_QUEUED_BYTES = 32 * 2**20

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        client_id: str = "pipeline",
        delivery_timeout_s: float = 30.0,
        connect_timeout_s: float = 30.0,
        max_message_bytes: int = 64 * 2**20,
        compression: str | None = "gzip",
        client_options: Mapping[str, object] = NO_OPTIONS,
    ) -> None:
        """Connect.

        Args:
            bootstrap_servers: `host:port`, several separated by commas.
            delivery_timeout_s: longest one message may stay unacknowledged.
            max_message_bytes: the client's limit; so large that the broker's decides.
            compression: "gzip" or None. Compressing is the cheaper one for JSON: Python
                has less to write and to checksum. The broker's limit on a message's
                size is on what it receives.
            client_options: further options of `kafka.KafkaProducer`; they win.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._servers = bootstrap_servers
        self._delivery_timeout_s = delivery_timeout_s
        self._client_options = client_options
        # `send` flushes, so lingering delays nothing: it only fills batches.
        linger_s = min(0.05, delivery_timeout_s / 4)
        self._options = {
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": compression,
            "value_serializer": _NullableSerializer(),
            "linger_ms": round(linger_s * 1000),
            "batch_size": 128 * 2**10,
            "delivery_timeout_ms": round(delivery_timeout_s * 1000),
            "request_timeout_ms": round(delivery_timeout_s / 2 * 1000),
            "max_block_ms": round(delivery_timeout_s * 1000),
            "max_request_size": max_message_bytes,
            "bootstrap_timeout_ms": round(connect_timeout_s * 1000),
            "metadata_max_age_ms": round(METADATA_MAX_AGE_S * 1000),
        }
        self._client: Any = self._connect()
        self._closed = False

    def send(self, messages: Sequence[Message]) -> None:
        if self._closed:
            raise TransportError(f"{self._name}: producer is closed", retriable=False)
        if self._client is None:
            self._client = self._connect()
        try:
            for queued in self._bounded(messages):
                with translated_errors(_topics(queued, self._servers)):
                    self._publish(queued)
        except BaseException:
            # What is still queued could be published after a later `send`, and an
            # idempotent client refuses everything once the broker has refused one.
            self._discard_client()
            raise

    def close(self, timeout_s: float) -> None:
        self._closed = True
        if self._client is not None:
            with suppress(TransportError), translated_errors(self._name):
                self._client.close(timeout=timeout_s)

    @property
    def _name(self) -> str:
        return f"Kafka {self._servers}"

    def _connect(self) -> Any:
        return connected(
            kafka.KafkaProducer, self._servers, self._client_options, **self._options
        )

    def _bounded(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """Cut `messages`, in order, into stretches that the client may hold at once."""
        begin, n_bytes = 0, 0
        for end, message in enumerate(messages):
            size_bytes = len(message.value or b"") + len(message.key or b"")
            n_queued = end - begin
            if n_queued == self.MAX_QUEUED_MESSAGES or (
                n_queued and n_bytes + size_bytes > self.MAX_QUEUED_BYTES
            ):
                yield messages[begin:end]
                begin, n_bytes = end, 0
            n_bytes += size_bytes
        if begin < len(messages):
            yield messages[begin:]

    def _publish(self, messages: Sequence[Message]) -> None:
        futures = [
            self._client.send(
                message.topic,
                value=_NULL if message.value is None else message.value,
                key=message.key,
                headers=[(name, value or b"") for name, value in message.headers],
                timestamp_ms=message.timestamp_ms,
            )
            for message in messages
        ]
        # Twice the delivery timeout: by then the client itself has given every message
        # up, with a reason that says more than "timeout".
        deadline_s = time.monotonic() + 2 * self._delivery_timeout_s
        # It fails while a batch that the broker finds too large is being split; the
        # futures follow their messages into the halves.
        with suppress(KafkaError):
            self._client.flush(timeout=2 * self._delivery_timeout_s)
        for future in futures:
            if not future.succeeded():
                future.get(timeout=max(0.0, deadline_s - time.monotonic()))

    def _discard_client(self) -> None:
        client, self._client = self._client, None
        # Its `close` alone would first wait for what is still queued.
        client._sender.force_close()
        with suppress(KafkaError):
            client.close(timeout=1.0)


# A stand-in for a null value: kafka-python refuses a message without key and value,
# which is a legal record, and one that may have to be dead-lettered.
_NULL = object()


class _NullableSerializer(kafka.Serializer):  # type: ignore[misc]
    def serialize(self, topic: str, headers: object, data: object) -> object:
        return None if data is _NULL else data


def _topics(messages: Sequence[Message], servers: str) -> str:
    topics = sorted({message.topic for message in messages})
    return f"topic {', '.join(map(repr, topics))}, Kafka {servers}"
