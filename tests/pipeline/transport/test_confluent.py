"""What is particular to confluent-kafka, and what it does not do by itself."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as ConfluentMessage

from pipeline.errors import InputError, MessageTooLarge, TransportError
from pipeline.records import Message, Partition
from pipeline.transport import confluent
from pipeline.transport.choose import clients
from pipeline.transport.confluent import ConfluentConsumer, ConfluentProducer
from pipeline.transport.confluent_client import connected, translated
from pipeline.transport.confluent_offsets import commit
from pipeline.transport.confluent_records import as_records
from pipeline.transport.kafka_python import KafkaPythonConsumer
from tests.pipeline.transport.clients import ConfluentTransport
from tests.support import (
    DEADLINE_S,
    RecordingListener,
    make_topic,
    numbered,
    poll_until_assigned,
    poll_until_shared,
    read,
    unique_name,
    values,
    wait_until,
)

NOBODY = "127.0.0.1:1"
TOPIC = "readings"
FIRST, SECOND = Partition(TOPIC, 0), Partition(TOPIC, 1)

MakeTopic = Callable[[int], str]


@pytest.fixture
def kafka(kafka_bootstrap_servers: str) -> Iterator[ConfluentTransport]:
    transport = ConfluentTransport(kafka_bootstrap_servers)
    yield transport
    transport.close()


class Script:
    """Stands for `confluent_kafka.Consumer`: each `consume` is one of these steps."""

    def __init__(self, *steps: Callable[["Script"], list[Any]]) -> None:
        self._steps = list(steps)
        self.member_id = "member"
        self.calls: list[str] = []
        self.callbacks: dict[str, Callable[[Any, Sequence[TopicPartition]], None]] = {}

    def subscribe(self, topics: Sequence[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def consume(self, n_most: int, timeout_s: float) -> list[Any]:
        return self._steps.pop(0)(self) if self._steps else []

    def committed(
        self, asked: list[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        return asked

    def memberid(self) -> str:
        return self.member_id

    def tell(self, callback: str, *partitions: Partition) -> None:
        self.callbacks[callback](self, [TopicPartition(*p) for p in partitions])

    def unsubscribe(self) -> None:
        self.calls.append("unsubscribe")

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self.calls.append(f"pause {[each.partition for each in partitions]}")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ConfluentConsumer]:
    def consumer(
        script: Script, listener: RecordingListener, instance_id: str | None = None
    ) -> ConfluentConsumer:
        monkeypatch.setattr(confluent, "connected", lambda *args, **options: script)
        return ConfluentConsumer(
            bootstrap_servers=NOBODY,
            group_id="group",
            topic=TOPIC,
            listener=listener,
            group_instance_id=instance_id,
        )

    return consumer


def message(partition: Partition, offset: int, error: int | None = None) -> Any:
    return ConfluentMessage(
        topic=partition.topic,
        partition=partition.number,
        offset=offset,
        value=b"value",
        timestamp=(1, 1_000),
        error=None if error is None else KafkaError(error, "why"),
    )


def places(consumer: ConfluentConsumer) -> list[tuple[int, int]]:
    return [(r.partition, r.offset) for r in consumer.poll(10, 0.0).records]


# Rebalances in the midst of reading


def test_what_was_read_while_partitions_went_comes_with_the_next_poll_without_theirs(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST, SECOND)
        return [message(FIRST, 0)]

    def revoked(script: Script) -> list[Any]:
        script.tell("on_revoke", SECOND)
        return [message(SECOND, 0), message(FIRST, 1), message(SECOND, 1)]

    consumer = scripted(Script(assigned, revoked), RecordingListener())

    assert [places(consumer) for _ in range(4)] == [[], [(0, 0)], [], [(0, 1)]]


def test_what_was_read_when_a_listener_fails_is_not_lost(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    class Failing(RecordingListener):
        def on_assigned(self, partitions: object) -> None:
            raise ZeroDivisionError

    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return [message(FIRST, 0)]

    consumer = scripted(Script(assigned), Failing())

    with pytest.raises(ZeroDivisionError):
        consumer.poll(10, 0.0)
    assert places(consumer) == [(0, 0)]


def test_a_member_that_is_none_any_more_has_lost_what_it_is_asked_to_give_up(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST, SECOND)
        return []

    def thrown_out(script: Script) -> list[Any]:
        script.member_id = ""
        script.tell("on_revoke", FIRST)
        return []

    def stale(script: Script) -> list[Any]:
        return [message(SECOND, 5)]

    listener = RecordingListener()
    consumer = scripted(Script(assigned, thrown_out, stale), listener)

    assert [places(consumer) for _ in range(3)] == [[], [], []]
    assert listener.revoked == []
    assert listener.lost == [{FIRST, SECOND}]


def test_records_that_are_held_are_handed_out_by_max_records_too(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return [message(FIRST, offset) for offset in range(25)]

    consumer = scripted(Script(assigned), RecordingListener())

    assert [len(places(consumer)) for _ in range(5)] == [0, 10, 10, 5, 0]


def test_fetches_of_several_partitions_are_sorted_beside_each_other(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST, SECOND)
        return []

    def mixed(script: Script) -> list[Any]:
        at = [(SECOND, 0), (FIRST, 0), (SECOND, 1), (FIRST, 1)]
        return [message(*each) for each in at]

    consumer = scripted(Script(assigned, mixed), RecordingListener())
    consumer.poll(10, 0.0)

    polled = consumer.poll(10, 0.0)

    assert [n for n, _ in groupby(polled.records, key=lambda r: r.partition)] == [0, 1]
    assert polled.next_offsets == {FIRST: 2, SECOND: 2}


# Errors


def test_an_error_that_does_not_pass_is_raised_and_what_came_with_it_is_kept(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return []

    def refused(script: Script) -> list[Any]:
        denied = message(FIRST, -1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)
        return [message(FIRST, 0), denied, message(FIRST, 1)]

    consumer = scripted(Script(assigned, refused), RecordingListener())
    consumer.poll(10, 0.0)

    with pytest.raises(TransportError, match="TOPIC_AUTHORIZATION_FAILED") as raised:
        consumer.poll(10, 0.0)
    assert not raised.value.retriable
    assert places(consumer) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("number", [None, -1, 0])
@pytest.mark.parametrize("code", [KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError._FATAL])
@pytest.mark.parametrize("owned", [[], [SECOND]])
def test_an_error_of_the_group_is_raised_whatever_partitions_are_ours(
    scripted: Callable[..., ConfluentConsumer],
    owned: list[Partition],
    code: int,
    number: int | None,
) -> None:
    def assigned(script: Script) -> list[Any]:
        for partition in owned:
            script.tell("on_assign", partition)
        return []

    def refused(script: Script) -> list[Any]:
        of_partition = {} if number is None else {"partition": number}
        error = KafkaError(code, "why")
        return [ConfluentMessage(topic=TOPIC, error=error, **of_partition)]

    consumer = scripted(Script(assigned, refused), RecordingListener())
    consumer.poll(10, 0.0)

    with pytest.raises(TransportError):
        consumer.poll(10, 0.0)


def test_an_error_that_passes_by_itself_is_waited_out(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def missing(script: Script) -> list[Any]:
        return [message(FIRST, -1001, KafkaError.UNKNOWN_TOPIC_OR_PART)]

    consumer = scripted(Script(missing), RecordingListener())

    assert consumer.poll(10, 0.0).records == []


@pytest.mark.parametrize(
    ("code", "retriable"),
    [
        (KafkaError.REBALANCE_IN_PROGRESS, True),
        (KafkaError.ILLEGAL_GENERATION, True),
        (KafkaError._MSG_TIMED_OUT, True),
        (KafkaError.NOT_ENOUGH_REPLICAS, True),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, False),
        (KafkaError.FENCED_INSTANCE_ID, False),
        (KafkaError.MSG_SIZE_TOO_LARGE, False),
    ],
)
def test_errors_say_whether_trying_again_may_help(code: int, retriable: bool) -> None:
    ours = translated("group 'g'", KafkaError(code, "two\nlines"))

    assert ours.retriable == retriable
    assert str(ours).startswith("group 'g': ")
    assert "\n" not in str(ours)
    assert isinstance(ours, MessageTooLarge) == (code == KafkaError.MSG_SIZE_TOO_LARGE)


class Refusing:
    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> object:
        if asynchronous:
            return None
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "no member"))

    def committed(
        self, offsets: list[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, 0, -1001)]


def test_a_commit_that_the_broker_refuses_says_why() -> None:
    with pytest.raises(KafkaException, match="no member"):
        commit(Refusing(), "name", {FIRST: 1}, 1.0, {})


def test_a_refused_commit_whose_reason_does_not_come_is_not_waited_for() -> None:
    done = threading.Event()

    class Hanging(Refusing):
        def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> object:
            return asynchronous or done.wait()

    with pytest.raises(TransportError, match=r"name: .* within 0\.1 s") as raised:
        commit(Hanging(), "name", {FIRST: 1}, 0.1, {})
    done.set()

    assert raised.value.retriable


def test_a_secret_is_in_no_message() -> None:
    class Quoting:
        def __init__(self, config: dict[str, object]) -> None:
            raise KafkaException(
                KafkaError(KafkaError._INVALID_ARG, f"bad {config['ssl.key.password']}")
            )

    with pytest.raises(InputError, match=r"bad \*\*\*") as raised:
        connected(Quoting, NOBODY, {"ssl.key.password": "s3cret"}, 1.0, None)
    assert raised.value.__cause__ is None


def test_what_librdkafka_logs_goes_where_the_other_clients_lines_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "kafka"), pytest.raises(TransportError):
        ConfluentProducer(bootstrap_servers=NOBODY, connect_timeout_s=0.5)

    assert {record.name for record in caplog.records} <= {"kafka.confluent"}


# Publishing


def test_a_message_of_the_epoch_is_not_one_of_the_present(
    kafka: ConfluentTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(1)
    kafka.producer().send([Message(topic, b"value", timestamp_ms=0)])

    (record,) = read(kafka.consumer(topic, unique_name("group")), 1)

    assert record.timestamp == 1


def test_a_message_too_large_among_small_ones_is_the_only_one_refused_of_those_before_it(
    kafka: ConfluentTransport, kafka_bootstrap_servers: str
) -> None:
    topic = make_topic(kafka_bootstrap_servers, 1, max_message_bytes=10_000)
    too_large = Message(topic, bytes(range(256)) * 100, timestamp_ms=1)
    producer = ConfluentProducer(
        bootstrap_servers=kafka_bootstrap_servers, compression=None
    )

    with pytest.raises(MessageTooLarge, match=topic):
        producer.send([*numbered(topic, 900), too_large, *numbered(topic, 1, first=900)])
    producer.close(5.0)

    records = read(kafka.consumer(topic, unique_name("group")), 900)
    in_order = [int(record.value or b"") for record in records]
    assert in_order == list(range(900))


def test_one_message_may_be_larger_than_all_that_is_queued_otherwise(
    kafka: ConfluentTransport, kafka_bootstrap_servers: str
) -> None:
    n_bytes = 3 * ConfluentProducer.MAX_QUEUED_BYTES
    topic = make_topic(kafka_bootstrap_servers, 1, max_message_bytes=2 * n_bytes)
    kafka.producer().send([*numbered(topic, 1), Message(topic, bytes(n_bytes))])

    _, large = read(kafka.consumer(topic, unique_name("group")), 2)

    assert len(large.value or b"") == n_bytes


# Closing


def test_a_rebalance_under_way_is_served_before_the_client_closes(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return []

    def more(script: Script) -> list[Any]:
        script.calls.append("served")
        script.tell("on_assign", SECOND)
        return [message(FIRST, 0)]

    def revoked(script: Script) -> list[Any]:
        script.calls.append("served")
        script.tell("on_revoke", FIRST, SECOND)
        return []

    script, listener = Script(assigned, more, revoked), RecordingListener()
    consumer = scripted(script, listener)
    places(consumer)

    consumer.close(DEADLINE_S)

    assert script.calls == ["unsubscribe", "served", "served", "close"]
    assert listener.assigned == [{FIRST}]
    assert listener.revoked == []


def test_a_static_member_closes_without_leaving_its_group(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return []

    def left_over(script: Script) -> list[Any]:
        return [message(FIRST, 0)]

    script = Script(assigned, left_over)
    consumer = scripted(script, RecordingListener(), "worker-0")
    places(consumer)

    consumer.close(DEADLINE_S)

    assert script.calls == ["pause [0]", "close"]


def test_partitions_that_nobody_takes_back_are_waited_for_no_longer_than_allowed(
    scripted: Callable[..., ConfluentConsumer],
) -> None:
    def assigned(script: Script) -> list[Any]:
        script.tell("on_assign", FIRST)
        return []

    script = Script(assigned)
    consumer = scripted(script, RecordingListener())
    places(consumer)

    consumer.close(0.1)

    wait_until(lambda: script.calls == ["unsubscribe", "close"], "the client closes")


def test_no_rebalance_is_left_for_the_client_to_serve_while_it_closes(
    kafka: ConfluentTransport, make_topic: MakeTopic
) -> None:
    topic, group_id = make_topic(4), unique_name("group")
    kafka.producer().send(numbered(topic, 40))
    one, other = kafka.consumer(topic, group_id), kafka.consumer(topic, group_id)
    poll_until_shared(one, other, 4)

    for consumer in (one, other):
        client = Counting(consumer)
        consumer._client = client
        consumer.close(DEADLINE_S)
        assert client.n_told_while_closing == 0


class Counting:
    """Passes all on to a consumer's client, and counts what that tells as it closes."""

    def __init__(self, consumer: ConfluentConsumer) -> None:
        self._client = consumer._client
        self._assigned = consumer._assigned
        self.n_told_while_closing = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def close(self) -> None:
        n_told = self._assigned.n_told
        self._client.close()
        self.n_told_while_closing = self._assigned.n_told - n_told


def test_a_closed_consumer_says_so(
    kafka: ConfluentTransport, make_topic: MakeTopic
) -> None:
    consumer = kafka.consumer(make_topic(1), unique_name("group"))
    poll_until_assigned(consumer)
    consumer.close(5.0)

    for call in (lambda: consumer.poll(1, 0.0), lambda: consumer.commit({FIRST: 1}, 1.0)):
        with pytest.raises(TransportError, match="closed"):
            call()
    assert consumer.lag() == {}


# Its place beside the other client


def test_a_partition_at_whose_end_a_member_resumes_has_no_lag(
    kafka: ConfluentTransport, make_topic: MakeTopic
) -> None:
    topic, group_id = make_topic(1), unique_name("group")
    partition = Partition(topic, 0)
    kafka.producer().send(numbered(topic, 5))
    first = kafka.consumer(topic, group_id)
    read(first, 5)
    first.commit({partition: 5}, DEADLINE_S)
    first.close(5.0)

    resumed = kafka.consumer(topic, group_id)
    deadline_s = time.monotonic() + DEADLINE_S
    while not resumed.lag() and time.monotonic() < deadline_s:
        assert resumed.poll(10, 0.1).records == []

    assert resumed.lag() == {partition: 0}


def test_a_topic_that_looks_like_a_pattern_is_none() -> None:
    with pytest.raises(InputError, match=r"\^readings"):
        ConfluentConsumer(bootstrap_servers=NOBODY, group_id="g", topic="^readings.*")


def test_members_are_built_and_read_as_records_of_any_client() -> None:
    (record,) = as_records([message(FIRST, 3)])

    assert (record.topic, record.partition, record.offset) == (*FIRST, 3)
    assert (record.timestamp, record.key, record.value) == (1_000, None, b"value")
    assert list(record.headers) == []


def test_the_client_that_is_asked_for_is_chosen() -> None:
    assert clients("kafka-python").consumer is KafkaPythonConsumer
    assert clients("confluent").consumer is ConfluentConsumer


def test_without_confluent_kafka_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [name for name in sys.modules if name.startswith("pipeline.transport.c")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)

    with pytest.raises(
        InputError, match=r"pip install 'sensor-anomaly-pipeline\[fast\]'"
    ) as raised:
        clients("confluent")
    assert "\n" not in str(raised.value)


def test_many_records_are_read_by_either_size_of_poll(
    kafka: ConfluentTransport, make_topic: MakeTopic
) -> None:
    topic = make_topic(4)
    kafka.producer().send(numbered(topic, 30_000))

    records = read(kafka.consumer(topic, unique_name("group")), 30_000, 10**7)

    assert values(records) == list(range(30_000))
