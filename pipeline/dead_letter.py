"""Rejected records to records of the dead-letter topic."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import MessageTooLarge
from pipeline.records import Message, Reject
from pipeline.transport.base import Producer

PREFIX = "dead-letter-"
"""Of the headers that are added. `dead-letter-reason` is a word, `-detail` a sentence;
`-topic`, `-partition` and `-offset` say where the record stood."""
MAX_STUB_KEY_BYTES = 256


def dead_letter(reject: Reject, topic: str) -> Message:
    """The record as it came (bytes, key, headers, timestamp), with headers that say why."""
    record = reject.record
    added = {
        "reason": reject.reason,
        "detail": reject.detail,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    return Message(
        topic=topic,
        key=record.key,
        value=record.value,
        headers=[
            # One that was sent back and failed again says where it stood this time.
            *((k, v) for k, v in record.headers if not k.startswith(PREFIX)),
            *((PREFIX + k, str(v).encode()) for k, v in added.items()),
        ],
        timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
    )


def stub(message: Message) -> Message:
    """A dead letter that always fits, for a record that leaves no room for our headers.

    Only what we added is in it, and a key that is not long. What the record held still
    stands where these headers say.
    """
    ours = [(k, v) for k, v in message.headers if k.startswith(PREFIX)]
    omitted = (PREFIX + "omitted", b"value, headers and a long key: too large with these")
    key = message.key
    if key is not None and len(key) > MAX_STUB_KEY_BYTES:
        key = None
    return replace(message, key=key, value=None, headers=[*ours, omitted])


class DeadLetters:
    """Publishes rejected records to the dead-letter topic."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def send(self, rejects: Sequence[Reject]) -> None:
        """Publish all, and return once every one is acknowledged.

        Raises:
            TransportError: the broker refused, or did not answer in time.
        """
        messages = [dead_letter(reject, self._topic) for reject in rejects]
        try:
            self._producer.send(messages)
        except MessageTooLarge:
            # Some may be published already: a dead letter twice is better than none.
            for message in messages:
                self._send_one(message)

    def _send_one(self, message: Message) -> None:
        try:
            self._producer.send([message])
        except MessageTooLarge:
            self._producer.send([stub(message)])
