"""Dead letters: the record as it came, and why and where it was refused."""

from pipeline.dead_letter import dead_letter, stub
from pipeline.records import Message, Reject
from tests.builders import record


def sent(reject: Reject) -> Message:
    return dead_letter(reject, topic="readings.dead")


def test_bytes_key_headers_and_timestamp_stay_as_they_came() -> None:
    original = record(
        b"\xff\x00 garbage",
        timestamp_ms=1_700_000_000_123,
        key=b"\xfe",
        headers=[("trace", b"\x01"), ("trace", None)],
    )

    message = sent(Reject(original, "not_json", "not UTF-8"))

    assert message.topic == "readings.dead"
    assert (message.value, message.key) == (b"\xff\x00 garbage", b"\xfe")
    assert message.timestamp_ms == 1_700_000_000_123
    assert list(message.headers)[:2] == [("trace", b"\x01"), ("trace", None)]


def test_headers_say_why_and_where_it_stood() -> None:
    original = record(b"x", offset=41, partition=3)

    message = sent(Reject(original, "not_json", "é is no JSON"))

    assert dict(message.headers) == {
        "dead-letter-reason": b"not_json",
        "dead-letter-detail": "é is no JSON".encode(),
        "dead-letter-topic": b"readings",
        "dead-letter-partition": b"3",
        "dead-letter-offset": b"41",
    }


def test_a_record_without_value_key_or_timestamp_stays_without() -> None:
    message = sent(Reject(record(None), "not_json", "empty"))

    assert (message.value, message.key, message.timestamp_ms) == (None, None, None)


def test_a_dead_letter_that_was_sent_back_says_where_it_stood_this_time() -> None:
    once = sent(Reject(record(b"x", offset=1), "not_json", "first"))
    returned = record(b"x", offset=2, headers=once.headers)

    twice = sent(Reject(returned, "bad_time", "second"))

    names = [name for name, _ in twice.headers]
    assert len(names) == len(set(names))
    assert dict(twice.headers)["dead-letter-offset"] == b"2"
    assert dict(twice.headers)["dead-letter-reason"] == b"bad_time"


def test_a_stub_holds_only_what_was_added_and_a_short_key() -> None:
    headers = [("trace", b"h" * 100)]
    rejected = record(b"x" * 100, key=b"k", headers=headers)

    message = stub(sent(Reject(rejected, "too_large", "-")))

    assert (message.value, message.key) == (None, b"k")
    names = {name for name, _ in message.headers}
    assert "trace" not in names
    assert {"dead-letter-omitted", "dead-letter-offset"} <= names


def test_a_stub_is_small_whatever_the_record_held() -> None:
    rejected = record(b"x", key=b"k" * 1_000_000, headers=[("h" * 9_000, b"v" * 9_000)])

    message = stub(sent(Reject(rejected, "not_json", "d" * 500)))

    assert message.key is None
    assert sum(len(name) + len(value or b"") for name, value in message.headers) < 2_000
