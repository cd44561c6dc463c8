"""What waits to be published: each once, and nothing that came of what is lost."""

from collections.abc import Collection, Sequence

import pytest

from pipeline.dead_letter import OMITTED, dead_letter
from pipeline.errors import MessageTooLarge, TransportError
from pipeline.outbox import Outbox
from pipeline.records import Message, Partition, Reject
from tests.builders import record


class Sent:
    """A delivery that takes no call with a value longer than it is told."""

    def __init__(self, max_bytes: int = 10) -> None:
        self.messages: list[Message] = []
        self.failures = 0
        self._max_bytes = max_bytes

    def send(self, messages: Sequence[Message]) -> None:
        if any(len(message.value or b"") > self._max_bytes for message in messages):
            raise MessageTooLarge("too large")
        if self.failures and messages:
            self.failures -= 1
            raise TransportError("no answer", retriable=True)
        self.messages += messages

    def commit(self, *args: object) -> None:
        raise NotImplementedError

    def withdraw(self, partitions: Collection[Partition], timeout_s: float) -> None:
        raise NotImplementedError

    def values(self) -> list[bytes | None]:
        return [message.value for message in self.messages]


def rejected(value: bytes) -> Message:
    return dead_letter(Reject(record(value), "not_json", "-"), "dead")


def test_what_is_published_is_not_again() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    outbox.put([Message("alerts", b"1")])

    outbox.send()
    outbox.put([Message("alerts", b"2")])
    outbox.send()

    assert sent.values() == [b"1", b"2"]


def test_what_could_not_be_published_waits_for_the_next_attempt() -> None:
    sent = Sent()
    sent.failures = 1
    outbox = Outbox(sent)
    outbox.put([Message("alerts", b"1")])

    with pytest.raises(TransportError, match="no answer"):
        outbox.send()
    outbox.send()

    assert sent.values() == [b"1"]


def test_of_several_attempts_each_begins_where_the_one_before_ended() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    outbox.put([rejected(b"1"), rejected(b"a" * 11), Message("alerts", b"3")])
    send = sent.send

    def fail_at_the_alert(messages: Sequence[Message]) -> None:
        if len(messages) == 1 and messages[0].topic == "alerts":
            sent.send = send  # type: ignore[method-assign]
            raise TransportError("no answer", retriable=True)
        send(messages)

    sent.send = fail_at_the_alert  # type: ignore[method-assign]

    with pytest.raises(TransportError, match="no answer"):
        outbox.send()
    outbox.send()

    assert sent.values() == [b"1", None, b"3"]


def test_a_dead_letter_that_is_too_large_goes_without_its_content() -> None:
    sent = Sent()
    outbox = Outbox(sent)
    outbox.put([rejected(b"a" * 11)])

    outbox.send()

    (message,) = sent.messages
    assert message.value is None
    assert OMITTED in dict(message.headers)


def test_an_alert_that_is_too_large_is_an_error() -> None:
    outbox = Outbox(Sent())
    outbox.put([Message("alerts", b"a" * 11)])

    with pytest.raises(MessageTooLarge):
        outbox.send()


def test_what_came_of_a_partition_that_is_lost_is_dropped() -> None:
    lost, kept = Partition("readings", 0), Partition("readings", 1)
    sent = Sent()
    outbox = Outbox(sent)
    outbox.put([Message("alerts", b"1", source=lost), Message("alerts", b"2", source=kept)])

    outbox.withdraw([lost])
    outbox.send()

    assert sent.values() == [b"2"]
