"""The publishing half of `kafka_python`."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import kafka
from kafka.errors import BrokerResponseError, KafkaError

from pipeline.errors import TransportError
from pipeline.records import Message
from pipeline.transport.client import (
    CHECK_INTERVAL_S,
    GRACE_S,
    METADATA_MAX_AGE_S,
    NO_OPTIONS,
    on_a_thread,
    stretches,
    topics_of,
)
from pipeline.transport.kafka_client import connected, translated_errors


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
            delivery_timeout_s: longest a `send` may take, whatever it is given; connecting
                again and giving up included.
            max_message_bytes: the client's limit; so large that the broker's decides.
            compression: "gzip", "lz4", "snappy", "zstd" or None. Compressing is cheaper
                for JSON: Python has less to write and to checksum. The broker's limit on
                a message's size is on what it receives.
            client_options: further options of `kafka.KafkaProducer`; they win.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._servers = bootstrap_servers
        self._delivery_timeout_s = delivery_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._client_options = client_options
        # Left over from a `send` that fails, for closing the client.
        self._discard_timeout_s = min(1.0, delivery_timeout_s / 10)
        # The client gives a message up before we do: it knows better why.
        give_up_s = 0.8 * delivery_timeout_s
        # `send` flushes, so lingering delays nothing: it only fills batches.
        linger_s = min(0.05, give_up_s / 4)
        self._options = {
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": compression,
            "value_serializer": _NullableSerializer(),
            "linger_ms": round(linger_s * 1000),
            "batch_size": 128 * 2**10,
            "delivery_timeout_ms": round(give_up_s * 1000),
            "request_timeout_ms": round(give_up_s / 2 * 1000),
            "max_block_ms": round(give_up_s * 1000),
            "max_request_size": max_message_bytes,
            "metadata_max_age_ms": round(METADATA_MAX_AGE_S * 1000),
            **self._more_options(),
        }
        self._client: Any = self._connect(connect_timeout_s)
        self._closed = False

    def _more_options(self) -> Mapping[str, object]:
        return NO_OPTIONS

    def send(self, messages: Sequence[Message]) -> None:
        now_s = time.monotonic()
        self._send(messages, now_s + self._delivery_timeout_s - self._discard_timeout_s)

    def _send(self, messages: Sequence[Message], deadline_s: float) -> None:
        client = self._open_client(deadline_s)
        if not messages:
            return

        def publish() -> None:
            for queued in stretches(
                messages, _size_bytes, self.MAX_QUEUED_MESSAGES, self.MAX_QUEUED_BYTES
            ):
                with translated_errors(topics_of(queued, self._servers)):
                    _publish(client, queued, deadline_s)

        try:
            on_a_thread(publish, max(0.0, deadline_s - time.monotonic()))
        except TimeoutError as error:
            self._discard_client()
            raise TransportError(
                f"{topics_of(messages, self._servers)}: not all of {len(messages)} "
                f"messages were acknowledged within {self._delivery_timeout_s:g} s",
                retriable=True,
            ) from error
        except BaseException:
            # What is still queued could be published after a later `send`, and an
            # idempotent client refuses everything once the broker has refused one.
            self._discard_client()
            raise

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        deadline_s = time.monotonic() + timeout_s
        client = self._open_client(deadline_s)
        # What `send` waits for as well, so that both agree on what exists.
        metadata = client._metadata
        for topic in topics:
            # A name that Kafka does not allow is that of no topic.
            with suppress(ValueError):
                metadata.add_topic(topic)
        has_answered = False
        while True:
            has_answered |= _updated(client, deadline_s - time.monotonic())
            if refused := sorted(metadata.unauthorized_topics.intersection(topics)):
                raise TransportError(
                    f"{self._name}: no right to use topic {', '.join(map(repr, refused))}",
                    retriable=False,
                )
            missing = [t for t in topics if metadata.partitions_for_topic(t) is None]
            # The first answer comes before a topic that the broker creates is there.
            if not missing or time.monotonic() + CHECK_INTERVAL_S > deadline_s:
                break
            time.sleep(CHECK_INTERVAL_S)
        if missing and not has_answered:
            raise TransportError(
                f"{self._name}: no answer about topics within {timeout_s:g} s",
                retriable=True,
            )
        return missing

    def close(self, timeout_s: float) -> None:
        self._closed = True
        if self._client is not None:
            _close(self._client, timeout_s)

    @property
    def _name(self) -> str:
        return f"Kafka {self._servers}"

    def _open_client(self, deadline_s: float) -> Any:
        if self._closed:
            raise TransportError(f"{self._name}: producer is closed", retriable=False)
        if self._client is None:
            remaining_s = max(0.0, deadline_s - time.monotonic())
            self._client = self._connect(min(remaining_s, self._connect_timeout_s))
        return self._client

    def _connect(self, timeout_s: float) -> Any:
        return connected(
            kafka.KafkaProducer,
            self._servers,
            self._client_options,
            bootstrap_timeout_ms=round(timeout_s * 1000),
            **self._options,
        )

    def _discard_client(self) -> None:
        client, self._client = self._client, None
        # Its `close` alone would first wait for what is still queued.
        client._sender.force_close()
        _close(client, self._discard_timeout_s)


def _size_bytes(message: Message) -> int:
    return len(message.value or b"") + len(message.key or b"")


def _publish(client: Any, messages: Sequence[Message], deadline_s: float) -> None:
    futures = [
        client.send(
            message.topic,
            value=_NULL if message.value is None else message.value,
            key=message.key,
            headers=[(name, value or b"") for name, value in message.headers],
            timestamp_ms=message.timestamp_ms,
        )
        for message in messages
    ]
    # It fails while a batch that the broker finds too large is being split; the futures
    # follow their messages into the halves.
    with suppress(KafkaError):
        client.flush(timeout=max(0.0, deadline_s - time.monotonic()))
    for future in futures:
        if not future.succeeded():
            # A little longer than `send` waits, which says better what it waited for.
            future.get(timeout=max(0.0, deadline_s - time.monotonic()) + GRACE_S)


def _updated(client: Any, timeout_s: float) -> bool:
    """Ask for metadata anew; whether the broker has answered."""
    returned = threading.Event()
    future = client._metadata.request_update()
    future.add_both(lambda _: returned.set())
    client._sender.wakeup()
    # Of an answer that says nothing but that a topic is missing the client makes a failure.
    return returned.wait(max(0.0, timeout_s)) and (
        future.succeeded() or isinstance(future.exception, BrokerResponseError)
    )


def _close(client: Any, timeout_s: float) -> None:
    timeout_s = max(0.0, timeout_s)
    with suppress(KafkaError, OSError):
        on_a_thread(lambda: client.close(timeout=timeout_s), timeout_s + GRACE_S)


# A stand-in for a null value: kafka-python refuses a message without key and value,
# which is a legal record, and one that may have to be dead-lettered.
_NULL = object()


class _NullableSerializer(kafka.Serializer):  # type: ignore[misc]
    def serialize(self, topic: str, headers: object, data: object) -> object:
        return None if data is _NULL else data
