"""Sending dead letters back: which, as what, and each of them once."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipeline import redrive
from pipeline.dead_letter import dead_letter, stub
from pipeline.errors import InputError, TransportError
from pipeline.records import Message, Reject
from pipeline.redrive import Redrive
from pipeline.redrive_choice import Choice, Summary
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from tests.builders import record

DEAD = "readings.dead"


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(n_partitions=2)
    broker.create_topic(DEAD, 2)
    broker.create_topic("readings", 2)
    return broker


def dead(value: bytes, reason: str = "not_json", key: bytes = b"pump-7") -> Message:
    return dead_letter(Reject(record(value, key=key), reason, "-"), DEAD)


def call(
    broker: MemoryBroker, producer: MemoryProducer | None = None, **choice: Any
) -> Redrive:
    return Redrive(
        Choice(DEAD, **choice),
        lambda listener: MemoryConsumer(
            broker, group_id="redrive", topic=DEAD, listener=listener
        ),
        producer or MemoryProducer(broker),
    )


def run(broker: MemoryBroker, **choice: Any) -> Summary:
    one = call(broker, **choice)
    try:
        one.run(threading.Event())
    finally:
        one.close(1.0)
    return one.summary


def values(broker: MemoryBroker, topic: str = "readings") -> list[bytes]:
    return sorted(each.value or b"" for each in broker.records(topic))


def test_a_record_goes_back_as_it_was(broker: MemoryBroker) -> None:
    original = record(
        b"\xff\x00", timestamp_ms=1_700_000_000_123, key=b"\xfe", headers=[("trace", b"1")]
    )
    broker.append([dead_letter(Reject(original, "not_json", "-"), DEAD)])

    run(broker)

    (back,) = broker.records("readings")
    assert (back.value, back.key) == (b"\xff\x00", b"\xfe")
    assert back.timestamp == 1_700_000_000_123
    assert list(back.headers) == [("trace", b"1")]


def test_a_second_call_sends_none_twice(broker: MemoryBroker) -> None:
    broker.append([dead(b"1"), dead(b"2")])

    assert run(broker).sent == {"not_json": 2}
    assert run(broker).sent == {}
    broker.append([dead(b"3")])
    assert run(broker).sent == {"not_json": 1}
    assert values(broker) == [b"1", b"2", b"3"]


def test_a_call_for_one_reason_leaves_the_others_to_a_later_one(
    broker: MemoryBroker,
) -> None:
    broker.append([dead(b"1"), dead(b"2", "bad_time"), dead(b"3"), dead(b"4", "late")])

    first = run(broker, reasons=frozenset({"not_json"}))
    second = run(broker)

    assert first.lines(is_dry_run=False) == [
        "sent 2: not_json 2",
        "skipped 2 of another reason",
    ]
    assert second.lines(is_dry_run=False) == [
        "sent 2: bad_time 1, late 1",
        "skipped 2 sent back before",
    ]
    assert values(broker) == [b"1", b"2", b"3", b"4"]


def test_a_limit_leaves_the_rest_to_the_next_call(broker: MemoryBroker) -> None:
    broker.append([dead(str(i).encode(), key=str(i).encode()) for i in range(9)])

    n_sent = [run(broker, limit=4).sent.total() for _ in range(4)]

    assert n_sent == [4, 4, 1, 0]
    assert values(broker) == [str(i).encode() for i in range(9)]


def test_a_dry_run_sends_and_remembers_nothing(broker: MemoryBroker) -> None:
    broker.append([dead(b"1"), dead(b"2", "bad_time")])

    summary = run(broker, is_dry_run=True)

    assert summary.lines(is_dry_run=True) == ["would send 2: bad_time 1, not_json 1"]
    assert values(broker) == []
    assert run(broker).sent.total() == 2


def test_they_may_all_go_to_another_topic(broker: MemoryBroker) -> None:
    broker.create_topic("review", 1)
    broker.append([dead(b"1"), Message(DEAD, b"of unknown origin")])

    run(broker, to_topic="review")

    assert values(broker, "review") == [b"1", b"of unknown origin"]
    assert values(broker) == []


def test_one_without_content_is_left_out_and_told_of(broker: MemoryBroker) -> None:
    broker.append([stub(dead(b"large")), dead(b"1")])

    summary = run(broker)

    assert summary.lines(is_dry_run=False) == [
        "sent 1: not_json 1",
        "skipped 1 without content, which was too large for a dead letter",
        "still at readings[0] offset 0",
    ]


def test_what_did_not_come_from_a_topic_stays(broker: MemoryBroker) -> None:
    broker.append([Message(DEAD, b"somebody's"), Message(DEAD, b"x", b"k", own())])

    summary = run(broker)

    assert summary.sent.total() == 0
    assert sorted(summary.skipped) == [
        "of the dead-letter topic itself",
        "without a header that says which topic it came from",
    ]


def own() -> list[tuple[str, bytes | None]]:
    """Of a dead letter that would be sent to where it is."""
    return [("dead-letter-topic", DEAD.encode())]


def test_a_topic_that_is_not_there_is_named_and_nothing_is_settled() -> None:
    broker = MemoryBroker(creates_topics=False)
    broker.create_topic(DEAD, 2)
    broker.create_topic("readings", 2)
    broker.append([dead(b"1")])

    with pytest.raises(InputError, match=r"no topic 'nowhere'.*--to-topic"):
        run(broker, to_topic="nowhere")
    assert run(broker).sent.total() == 1


class Refusing(MemoryProducer):
    """Fails again, at once, what is sent back: into the topic that it is read from."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self._to = broker

    def send(self, messages: Sequence[Message]) -> None:
        super().send(messages)
        self._to.append([dead(m.value or b"", key=b"another") for m in messages])


def test_what_fails_again_meanwhile_is_not_sent_a_second_time(
    broker: MemoryBroker,
) -> None:
    broker.append(
        [dead(str(i).encode(), key=str(i).encode()) for i in range(500)],
    )
    one = call(broker, Refusing(broker))

    one.run(threading.Event())

    assert one.summary.sent.total() == 500
    assert len(broker.records(DEAD)) == 1000


def test_what_is_not_acknowledged_is_not_settled(broker: MemoryBroker) -> None:
    class Failing(MemoryProducer):
        def send(self, messages: Sequence[Message]) -> None:
            raise TransportError("gone", retriable=True)

    broker.append([dead(b"1")])
    failing = call(broker, Failing(broker))

    with pytest.raises(TransportError, match="gone"):
        failing.run(threading.Event())
    failing.close(1.0)

    assert run(broker).sent.total() == 1


def test_two_calls_at_once_send_each_once(broker: MemoryBroker) -> None:
    broker.append([dead(str(i).encode(), key=str(i).encode()) for i in range(3_000)])
    calls = [call(broker), call(broker)]
    threads = [
        threading.Thread(target=each.run, args=[threading.Event()]) for each in calls
    ]

    for thread in threads:
        thread.start()
    for thread, each in zip(threads, calls, strict=True):
        thread.join()
        each.close(1.0)

    assert len(broker.records("readings")) == 3_000
    assert values(broker) == sorted(str(i).encode() for i in range(3_000))


def test_a_call_without_a_partition_says_that_another_has_them(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redrive, "ASSIGNED_WITHIN_S", 0.0)
    monkeypatch.setattr(redrive, "POLL_TIMEOUT_S", 0.0)
    others = [
        MemoryConsumer(broker, group_id="redrive", topic=DEAD, group_instance_id=name)
        for name in ("a", "b")
    ]
    poll_all(others)
    late = call(broker)

    with pytest.raises(TransportError, match="another `pipeline redrive` has them all"):
        late.run(threading.Event())


def poll_all(consumers: Sequence[MemoryConsumer]) -> None:
    for consumer in [*consumers, *consumers]:
        consumer.poll(1, 0.0)


def test_a_request_to_stop_ends_it_with_the_batch_in_hand(broker: MemoryBroker) -> None:
    broker.append([dead(str(i).encode(), key=b"k") for i in range(1_000)])
    stop = threading.Event()
    one = call(broker, stopping(broker, stop.set))

    one.run(stop)
    one.close(1.0)

    n_sent = one.summary.sent.total()
    assert 0 < n_sent < 1_000
    assert run(broker).sent.total() == 1_000 - n_sent
    assert len(set(values(broker))) == len(values(broker)) == 1_000


def stopping(broker: MemoryBroker, stop: Callable[[], None]) -> MemoryProducer:
    """Asks to stop as soon as something is sent."""

    class Stopping(MemoryProducer):
        def send(self, messages: Sequence[Message]) -> None:
            super().send(messages)
            stop()

    return Stopping(broker)
