"""What the clients of both libraries share: waits that end, and cutting what is queued."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from pipeline.records import Message

T = TypeVar("T")

# A topic that is created after the worker has started is noticed within this time.
METADATA_MAX_AGE_S = 10.0

# What a call with a time-out may take beyond it, for its own reason to come first.
GRACE_S = 0.1

# How often a topic that the broker may be creating is asked for.
CHECK_INTERVAL_S = 0.1

NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


def on_a_thread(call: Callable[[], T], timeout_s: float | None = None) -> T:
    """What `call` returns or raises.

    The time-outs of kafka-python bound one step each (every batch of a flush, joining its
    threads not at all), and while librdkafka waits Python handles no signal; this one
    bounds the whole, on a thread of its own.

    Raises:
        TimeoutError: it takes over `timeout_s`. It goes on by itself, to nobody's use.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="kafka-call", daemon=True).start()
    return outcome.result(timeout_s)


def stretches(
    messages: Sequence[Message],
    size_bytes: Callable[[Message], int],
    max_messages: int,
    max_bytes: int,
) -> Iterator[Sequence[Message]]:
    """Cut `messages`, in order, into stretches that a client may hold at once.

    One message alone may be larger.
    """
    begin, n_bytes = 0, 0
    for end, message in enumerate(messages):
        message_bytes = size_bytes(message)
        n_queued = end - begin
        if n_queued == max_messages or (n_queued and n_bytes + message_bytes > max_bytes):
            yield messages[begin:end]
            begin, n_bytes = end, 0
        n_bytes += message_bytes
    if begin < len(messages):
        yield messages[begin:]


def topics_of(messages: Sequence[Message], servers: str) -> str:
    """Where messages go, for errors."""
    topics = sorted({message.topic for message in messages})
    return f"topic {', '.join(map(repr, topics))}, Kafka {servers}"
