"""Rejected records to records of the dead-letter topic."""

from dataclasses import replace

from pipeline.records import Message, Partition, Reject

PREFIX = "dead-letter-"
"""Of the headers that are added. `dead-letter-reason` is a word, `-detail` a sentence;
`-topic`, `-partition` and `-offset` say where the record stood."""
OMITTED = PREFIX + "omitted"
"""Says what is missing. Only a dead letter that is less than its record has it."""
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
        source=Partition(record.topic, record.partition),
    )


def is_dead_letter(message: Message) -> bool:
    """Whether it is one."""
    return any(name.startswith(PREFIX) for name, _ in message.headers)


def stub(message: Message) -> Message:
    """A dead letter that always fits, for a record that leaves no room for our headers.

    Only what we added is in it, and a key that is not long. What the record held still
    stands where these headers say.
    """
    ours = [(k, v) for k, v in message.headers if k.startswith(PREFIX)]
    omitted = (OMITTED, b"value, headers and a long key: too large with these")
    key = message.key
    if key is not None and len(key) > MAX_STUB_KEY_BYTES:
        key = None
    return replace(message, key=key, value=None, headers=[*ours, omitted])
