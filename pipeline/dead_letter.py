"""Rejected records to records of the dead-letter topic."""

from dataclasses import replace

from pipeline.records import Message, Reject

PREFIX = "dead-letter-"
"""Of the headers that are added. `dead-letter-reason` is a word, `-detail` a sentence;
`-topic`, `-partition` and `-offset` say where the record stood."""


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


def without_value(message: Message) -> Message:
    """For a record at the broker's size limit, which no room is left in for headers.

    What it held still stands where its headers say.
    """
    omitted = (PREFIX + "value-omitted", b"too large with its headers")
    return replace(message, value=None, headers=[*message.headers, omitted])
