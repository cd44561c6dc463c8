"""What both confluent-kafka clients share: connecting, errors, what is done with logs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from pipeline.errors import InputError, MessageTooLarge, TransportError, one_line
from pipeline.transport.client import (
    GRACE_S,
    METADATA_MAX_AGE_S,
    NOTE_TOO_LARGE,
    Fenced,
    on_a_thread,
)

# A broker that is back is found again within this time.
MAX_RECONNECT_S = 1.0

# Below `kafka`, so that whoever sets that one's level sets both clients'.
LOGGER = logging.getLogger("kafka.confluent")

NO_ANSWER = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})
FENCED_CODES = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

# librdkafka says of few errors whether they pass. These do, as the same do to kafka-python.
RETRIABLE = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._PURGE_QUEUE,
        KafkaError._RESOLVE,
        KafkaError._RETRY,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._WAIT_COORD,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.INVALID_MSG,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # A commit refused because of a rebalance: the next poll completes it, and then
        # either the commit succeeds or the listener is told that the partition is lost.
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)

# What a consumer fetches ahead. Once it has enough librdkafka fetches no more for the
# back-off, by default a second, in which a fast reader waits: 1,000,000 records of 150
# bytes came at 146,000 a second by default, at 460,000 with 5 ms. The other sizes bound
# memory: a process that read 32 partitions took 70 to 120 MiB.
FETCHING: Mapping[str, object] = {
    "fetch_queue_backoff_ms": 5,
    "queued_min_messages": 20_000,
    "queued_max_messages_kbytes": 16 * 2**10,
    "fetch_max_bytes": 4 * 2**20,
    "fetch_error_backoff_ms": 100,
}

_SECRET = ("password", "secret", "token", "pem", "oauthbearer", "jaas")


def connected(
    client_class: Any,
    bootstrap_servers: str,
    client_options: Mapping[str, object],
    timeout_s: float,
    topic: str | None,
    **options: object,
) -> Any:
    """A client that a server has answered.

    Args:
        client_options: as librdkafka names them, `security.protocol`; they win.
        timeout_s: longest wait for an answer.
        topic: what is asked for; None is all. Asking for one creates it where the broker
            creates topics; librdkafka's subscribing does not, though it has an option.
        options: the same with underscores; those that are None are left out.

    Raises:
        InputError: an option does not exist, or a value is refused.
        TransportError: no server answered, or it refused this client. Secrets among
            `client_options` are never part of the text.
    """
    name = f"Kafka {bootstrap_servers}"
    refusals: list[KafkaError] = []

    def remember(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            refusals.append(error)

    config: dict[str, object] = {
        "bootstrap.servers": ",".join(s.strip() for s in bootstrap_servers.split(",")),
        "topic.metadata.refresh.interval.ms": round(METADATA_MAX_AGE_S * 1000),
        "reconnect.backoff.max.ms": round(MAX_RECONNECT_S * 1000),
        # Without it librdkafka writes to standard error by itself.
        "logger": LOGGER,
        "error_cb": remember,
        **{k.replace("_", "."): v for k, v in options.items() if v is not None},
        **client_options,
    }
    try:
        client = client_class(config)
    except (KafkaException, TypeError, ValueError) as error:
        # Not `from error`: it may quote a value.
        text = _without_secrets(_text(error), client_options)
        raise InputError(f"{name}: {text}") from None
    asked = {} if topic is None else {"topic": topic}
    try:
        # On a thread: while librdkafka waits, Python handles no signal.
        on_a_thread(
            lambda: client.list_topics(**asked, timeout=timeout_s), timeout_s + GRACE_S
        )
    except (KafkaException, TimeoutError) as error:
        client.poll(0)  # has the errors handed over
        if refusals:
            detail = _without_secrets(one_line(refusals[-1].str()), client_options)
            raise TransportError(f"{name}: {detail}", retriable=False) from None
        raise TransportError(
            f"{name}: no server answered within {timeout_s:g} s", retriable=True
        ) from error
    return client


@contextmanager
def translated_errors(name: str) -> Iterator[None]:
    """Turn the client's errors into ours, with `name` for what was spoken to.

    Raises:
        MessageTooLarge: the client or the broker says so.
        TransportError: any other error of the client.
    """
    try:
        yield
    except KafkaException as error:
        raise translated(name, error.args[0]) from error
    except RuntimeError as error:
        # So the client says that it is closed.
        raise TransportError(f"{name}: {one_line(error)}", retriable=False) from error


def translated(name: str, error: KafkaError) -> TransportError:
    """Ours for an error of the client, with `name` for what was spoken to."""
    code = error.code()
    if code in TOO_LARGE:
        return MessageTooLarge(f"{name}: message too large: {one_line(error.str())}")
    if code == KafkaError.OFFSET_METADATA_TOO_LARGE:
        return TransportError(f"{name}: {NOTE_TOO_LARGE}", retriable=False)
    if code in FENCED_CODES:
        return Fenced(name)
    if code == KafkaError.FENCED_INSTANCE_ID:
        return TransportError(
            f"{name}: another consumer has this group_instance_id; each needs its own",
            retriable=False,
        )
    return TransportError(
        f"{name}: {error.name()}: {one_line(error.str())}", retriable=code in RETRIABLE
    )


def _text(error: Exception) -> str:
    first = error.args[0] if error.args else error
    return one_line(first.str() if isinstance(first, KafkaError) else first)


def _without_secrets(text: str, client_options: Mapping[str, object]) -> str:
    for option, value in client_options.items():
        if value and any(word in option for word in _SECRET):
            text = text.replace(one_line(value), "***")
    return text
