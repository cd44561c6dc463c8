"""What the clients of both libraries share: waits that end, and cutting what is queued."""

import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from pipeline.errors import TransportError
from pipeline.records import Message, Partition

T = TypeVar("T")

# A topic that is created after the worker has started is noticed within this time.
METADATA_MAX_AGE_S = 10.0

# What a call with a time-out may take beyond it, for its own reason to come first.
GRACE_S = 0.1

# What is asked beside a rebalance, and can be done without, may take so long.
ASK_TIMEOUT_S = 1.0

# How often a topic that the broker may be creating is asked for.
CHECK_INTERVAL_S = 0.1

# Of notes in one request. Brokers write what comes at once as one batch, of up to 1 MiB by
# default; with 300 partitions and notes of 4,000 bytes they answer UNKNOWN_SERVER_ERROR.
MAX_NOTES_BYTES = 2**19

NOTE_TOO_LARGE = (
    "a note beside an offset is longer than the broker takes: "
    "PIPELINE_KAFKA__MAX_METADATA_BYTES must not be above its offset.metadata.max.bytes"
)


NO_OPTIONS: Mapping[str, object] = MappingProxyType({})


class Fenced(TransportError):
    """Another producer has our transactional id. To go on would be to fence that one."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: another producer has this transactional id, or a transaction took "
            "longer than the broker waits",
            retriable=False,
        )


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


def commit_parts(
    next_offsets: Mapping[Partition, int], notes: Mapping[Partition, str]
) -> Iterator[dict[Partition, int]]:
    """Cut what is to be stored into parts that brokers take at once; one at least."""
    part: dict[Partition, int] = {}
    n_bytes = 0
    for partition, offset in next_offsets.items():
        note_bytes = len(notes.get(partition, ""))
        if part and n_bytes + note_bytes > MAX_NOTES_BYTES:
            yield part
            part, n_bytes = {}, 0
        part[partition] = offset
        n_bytes += note_bytes
    yield part


def topics_of(messages: Sequence[Message], servers: str) -> str:
    """Where messages go, for errors."""
    topics = sorted({message.topic for message in messages})
    return f"topic {', '.join(map(repr, topics))}, Kafka {servers}"
