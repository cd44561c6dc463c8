"""The publishing half of `confluent`."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import TransportError
from pipeline.records import Message
from pipeline.transport.client import (
    CHECK_INTERVAL_S,
    GRACE_S,
    NO_OPTIONS,
    on_a_thread,
    stretches,
    topics_of,
)
from pipeline.transport.confluent_client import (
    TOO_LARGE,
    connected,
    translated,
    translated_errors,
)

# While librdkafka waits Python handles no signal, so a longer wait is cut into such.
MAX_WAIT_S = 0.1
# What a message takes beyond its key, value and headers, and each header beyond its own.
FRAMING_BYTES = 100


class ConfluentProducer:
    """Publishes with acks from all replicas, idempotently. See `base.Producer`.

    What is queued at once, a stretch, makes at most one batch a partition: librdkafka does
    not split a batch that the broker finds too large, and publishes those behind it. So
    the stretch is split here, with nothing behind it.
    """

    MAX_QUEUED_MESSAGES = 10_000
    # Below what brokers take for one batch if they are told nothing else.
    MAX_QUEUED_BYTES = 2**19

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
            compression: "gzip", "lz4", "snappy", "zstd" or None; by default what
                kafka-python uses here. The broker's limit on a message's size is on what
                it receives.
            client_options: further options, as librdkafka names them; they win.

        Raises:
            InputError: an option does not exist, or a value is refused.
            TransportError: no server answered within `connect_timeout_s`.
        """
        self._servers = bootstrap_servers
        self._name = f"Kafka {bootstrap_servers}"
        self._delivery_timeout_s = delivery_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._client_options = client_options
        # Left over from a `send` that fails, for closing the client.
        self._discard_timeout_s = min(1.0, delivery_timeout_s / 10)
        # The client gives a message up before we do: it knows better why.
        give_up_s = 0.8 * delivery_timeout_s
        self._options = {
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": compression or "none",
            # Where kafka-python, and Java, put a key.
            "partitioner": "murmur2_random",
            # Ends with the flush, so it delays nothing: it keeps a stretch together.
            "linger_ms": round(min(1.0, give_up_s / 4) * 1000),
            "batch_num_messages": self.MAX_QUEUED_MESSAGES,
            "queue_buffering_max_messages": self.MAX_QUEUED_MESSAGES,
            "queue_buffering_max_kbytes": max(2**11, 2 * max_message_bytes // 2**10),
            "message_max_bytes": max_message_bytes,
            "delivery_timeout_ms": round(give_up_s * 1000),
            "request_timeout_ms": round(give_up_s / 2 * 1000),
            "delivery_report_only_error": True,
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
        self._open_client(deadline_s)
        name = topics_of(messages, self._servers)
        try:
            with translated_errors(name):
                for stretch in stretches(
                    messages, _size_bytes, self.MAX_QUEUED_MESSAGES, self.MAX_QUEUED_BYTES
                ):
                    self._publish(stretch, deadline_s)
        except TimeoutError as error:
            self._discard_client()
            raise TransportError(
                f"{name}: not all of {len(messages)} messages "
                f"were acknowledged within {self._delivery_timeout_s:g} s",
                retriable=True,
            ) from error
        except BaseException:
            # What is still queued could be published after a later `send`.
            self._discard_client()
            raise

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        deadline_s = time.monotonic() + timeout_s
        client = self._open_client(deadline_s)
        missing = list(topics)
        has_answered = not topics
        while missing:
            remaining_s = deadline_s - time.monotonic()
            with suppress(KafkaException, TimeoutError):
                missing = [t for t in missing if not self._exists(client, t, deadline_s)]
                has_answered = True
            # The first answer comes before a topic that the broker creates is there.
            if remaining_s < CHECK_INTERVAL_S:
                break
            if missing:
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
            self._discard_client(timeout_s)

    def _exists(self, client: Any, topic: str, deadline_s: float) -> bool:
        remaining_s = max(GRACE_S, deadline_s - time.monotonic())
        # On a thread: while librdkafka waits, Python handles no signal.
        found = on_a_thread(
            lambda: client.list_topics(topic, timeout=remaining_s), remaining_s + GRACE_S
        )
        error = found.topics[topic].error
        if error is not None and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise TransportError(
                f"{self._name}: no right to use topic {topic!r}", retriable=False
            )
        return error is None

    def _open_client(self, deadline_s: float) -> Any:
        if self._closed:
            raise TransportError(f"{self._name}: producer is closed", retriable=False)
        if self._client is None:
            remaining_s = max(GRACE_S, deadline_s - time.monotonic())
            self._client = self._connect(min(remaining_s, self._connect_timeout_s))
        return self._client

    def _connect(self, timeout_s: float) -> Any:
        return connected(
            confluent_kafka.Producer,
            self._servers,
            self._client_options,
            timeout_s,
            None,
            **self._options,
        )

    def _publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        """Publish one stretch, in smaller ones if a batch of it is too large.

        Raises:
            MessageTooLarge, TransportError: the first failure, with its topic.
            TimeoutError: not done by `deadline_s`.
        """
        failures = self._failures(messages, deadline_s)
        refused = [messages[index] for index in sorted(failures)]
        for index, message in zip(sorted(failures), refused, strict=True):
            error = failures[index]
            if error.code() not in TOO_LARGE or len(messages) == 1:
                raise translated(topics_of([message], self._servers), error)
        # In halves: a batch is taken or refused whole, and nothing was behind these.
        middle = (len(refused) + 1) // 2
        for half in (refused[:middle], refused[middle:]):
            if half:
                self._publish(half, deadline_s)

    def _failures(
        self, messages: Sequence[Message], deadline_s: float
    ) -> dict[int, KafkaError]:
        """Queue all and wait until each is acknowledged or refused; those, by index."""
        failures: dict[int, KafkaError] = {}
        # The client is in no local variable of a frame that a traceback may keep: its end
        # is that of the last reference, and belongs on the thread of `_discard_client`.
        for index, message in enumerate(messages):
            try:
                self._client.produce(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers) or None,
                    timestamp=_timestamp_ms(message),
                    on_delivery=lambda error, _, i=index: failures.update({i: error}),
                )
            except KafkaException as error:
                failures[index] = error.args[0]
        while len(self._client) > 0:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            self._client.flush(min(remaining_s, MAX_WAIT_S))
        return failures

    def _discard_client(self, timeout_s: float | None = None) -> None:
        client, self._client = self._client, None
        if timeout_s is None:
            timeout_s = self._discard_timeout_s
        clients = [client]
        del client

        def discard() -> None:
            # Its end, which waits for its threads, is that of the last reference.
            with suppress(KafkaException, SystemError):
                clients[0].purge()
                clients[0].flush(0)
            clients.clear()

        with suppress(TimeoutError):
            on_a_thread(discard, max(0.0, timeout_s))


def _timestamp_ms(message: Message) -> int:
    # To librdkafka 0 is the present: what was sent at the epoch is a millisecond off.
    return 0 if message.timestamp_ms is None else message.timestamp_ms or 1


def _size_bytes(message: Message) -> int:
    headers_bytes = sum(
        len(name.encode()) + len(value or b"") + FRAMING_BYTES
        for name, value in message.headers
    )
    body_bytes = len(message.key or b"") + len(message.value or b"")
    return body_bytes + headers_bytes + FRAMING_BYTES
