"""Topics on the benchmarks' own Kafka."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from tests.bench.stream import N_PARTITIONS, Item

BATCH_BYTES = 2**18
LINGER_MS = 20


def create(
    bootstrap_servers: str, topic: str, configs: Mapping[str, str] | None = None
) -> None:
    """Create a topic of `N_PARTITIONS` partitions."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        new = NewTopic(topic, N_PARTITIONS, 1, topic_configs=dict(configs or {}))
        admin.create_topics([new])
    finally:
        admin.close()


def fill(bootstrap_servers: str, topic: str, items: Iterable[Item]) -> None:
    """Write all `items`, as fast as a client that is installed can."""
    if find_spec("confluent_kafka") is not None:
        _fill_by_confluent(bootstrap_servers, topic, items)
    else:
        _fill_by_kafka_python(bootstrap_servers, topic, items)


def _fill_by_confluent(bootstrap_servers: str, topic: str, items: Iterable[Item]) -> None:
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_BYTES,
            "queue.buffering.max.messages": 10_000_000,
            "queue.buffering.max.kbytes": 2**20,
        }
    )
    for item in items:
        producer.produce(topic, item.value, item.key, item.partition)
    n_left = producer.flush(120.0)
    assert n_left == 0, f"{n_left} records were not written"
    # Its threads would otherwise wait for a broker that is gone.
    del producer


def _fill_by_kafka_python(
    bootstrap_servers: str, topic: str, items: Iterable[Item]
) -> None:
    producer = KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        linger_ms=LINGER_MS,
        batch_size=BATCH_BYTES,
        buffer_memory=2**28,
        acks=1,
    )
    try:
        for item in items:
            producer.send(topic, item.value, item.key, partition=item.partition)
        producer.flush(timeout=120.0)
    finally:
        producer.close()
