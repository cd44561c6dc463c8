"""Reading a stretch of a topic: the same whichever client reads, and leaving no trace."""

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient

from pipeline.errors import InputError
from pipeline.records import Message, Partition, Record
from pipeline.transport import reader as readers
from pipeline.transport.choose import ClientName, clients
from pipeline.transport.reader import Reader, stretch
from tests.support import unique_name, wait_until

CLIENTS: tuple[ClientName, ...] = ("kafka-python", "confluent")
ISOLATION = {"kafka-python": "isolation_level", "confluent": "isolation.level"}
TIMEOUT_S = 30.0
BEGAN_MS = 1_700_000_000_000

Connect = Callable[[str], Reader]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> ClientName:
    name: ClientName = request.param
    return name


@pytest.fixture
def connect(client: ClientName, kafka_bootstrap_servers: str) -> Iterator[Connect]:
    opened: list[Reader] = []

    def reader(topic: str) -> Reader:
        opened.append(
            clients(client).reader(
                bootstrap_servers=kafka_bootstrap_servers,
                topic=topic,
                client_options={ISOLATION[client]: "read_committed"},
            )
        )
        return opened[-1]

    yield reader
    for each in opened:
        each.close(5.0)


def send(servers: str, topic: str, numbers: range) -> None:
    """Records a second apart by their timestamps; keys spread them over partitions."""
    producer = clients("kafka-python").producer(bootstrap_servers=servers)
    try:
        producer.send(
            [
                Message(topic, b"%d" % n, b"key-%d" % (n % 7), (), BEGAN_MS + n * 1000)
                for n in numbers
            ]
        )
    finally:
        producer.close(5.0)


def numbers(records: list[Record]) -> list[int]:
    return sorted(int(record.value or b"") for record in records)


def read(
    reader: Reader, begins: dict[Partition, int], ends: dict[Partition, int]
) -> list[int]:
    polled = stretch(reader, begins, ends, max_records=100, timeout_s=TIMEOUT_S)
    return numbers([record for records in polled for record in records])


def test_a_stretch_by_time_holds_its_begin_and_not_its_end(
    connect: Connect, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(3)
    send(kafka_bootstrap_servers, topic, range(500))
    reader = connect(topic)
    ends = dict(reader.ends(TIMEOUT_S))

    begins = ends | dict(reader.offsets_at(BEGAN_MS + 100_000, TIMEOUT_S))
    before = ends | dict(reader.offsets_at(BEGAN_MS + 200_000, TIMEOUT_S))

    assert read(reader, begins, before) == list(range(100, 200))
    assert read(reader, dict(reader.begins(TIMEOUT_S)), ends) == list(range(500))


def test_where_nothing_is_so_late_there_is_no_offset(
    connect: Connect, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(2)
    send(kafka_bootstrap_servers, topic, range(20))

    assert connect(topic).offsets_at(BEGAN_MS + 20_000, TIMEOUT_S) == {}


def test_what_a_transaction_took_back_is_left_out_and_its_end_is_passed(
    connect: Connect, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    producer = clients("kafka-python").transactional_producer(
        bootstrap_servers=kafka_bootstrap_servers,
        transactional_id=unique_name("transactions"),
    )
    send(kafka_bootstrap_servers, topic, range(3))
    producer.send([Message(topic, b"100", b"key")])
    producer.withdraw([Partition("nowhere", 0)], TIMEOUT_S)
    producer.close(TIMEOUT_S)
    reader = connect(topic)

    begins, ends = dict(reader.begins(TIMEOUT_S)), dict(reader.ends(TIMEOUT_S))

    assert ends[Partition(topic, 0)] > 3
    assert read(reader, begins, ends) == [0, 1, 2]


def test_no_group_is_left_behind(
    connect: Connect, kafka_bootstrap_servers: str, make_topic: Callable[[int], str]
) -> None:
    topic = make_topic(1)
    send(kafka_bootstrap_servers, topic, range(3))
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    before = admin.list_groups()
    reader = connect(topic)

    read(reader, dict(reader.begins(TIMEOUT_S)), dict(reader.ends(TIMEOUT_S)))

    try:
        assert admin.list_groups() == before
    finally:
        admin.close()


def test_a_topic_that_is_not_there_is_not_made(connect: Connect) -> None:
    topic = unique_name("nowhere")

    with pytest.raises(InputError, match="there is no such topic"):
        connect(topic).ends(TIMEOUT_S)
    with pytest.raises(InputError, match="there is no such topic"):
        connect(topic).ends(TIMEOUT_S)


def test_what_a_transaction_has_not_ended_is_not_waited_for(
    connect: Connect,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readers, "QUIET_S", 1.0)
    topic = make_topic(1)
    send(kafka_bootstrap_servers, topic, range(3))
    producer = clients("kafka-python").transactional_producer(
        bootstrap_servers=kafka_bootstrap_servers,
        transactional_id=unique_name("transactions"),
    )
    producer.send([Message(topic, b"100", b"key")])
    # Sent, and of a transaction that stays open until the producer is closed.
    wait_until(lambda: written(kafka_bootstrap_servers, topic) == 4, "it is written")
    reader = connect(topic)

    found = read(reader, dict(reader.begins(TIMEOUT_S)), {Partition(topic, 0): 4})

    assert found == [0, 1, 2]
    producer.close(TIMEOUT_S)


def written(servers: str, topic: str) -> int:
    """Records of a topic of one partition, with those that are not committed."""
    reader = clients("kafka-python").reader(bootstrap_servers=servers, topic=topic)
    try:
        return reader.ends(TIMEOUT_S)[Partition(topic, 0)]
    finally:
        reader.close(TIMEOUT_S)
