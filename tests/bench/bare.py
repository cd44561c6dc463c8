"""`python -m tests.bench.bare`: a client that takes records and does nothing with them."""

from uuid import uuid4

from tests.bench import child

POLL_TIMEOUT_S = 0.25


def main() -> None:
    """Read a topic from its start until so many records have come."""
    given = child.options("client", "servers", "topic", "n_records", "max_records")
    meter = child.Meter(int(given.n_records))
    if given.client == "kafka-python":
        _kafka_python(given.servers, given.topic, int(given.max_records), meter)
    else:
        _confluent(given.servers, given.topic, int(given.max_records), meter)


def _kafka_python(servers: str, topic: str, max_records: int, meter: child.Meter) -> None:
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    while True:
        polled = consumer.poll(timeout_ms=1e3 * POLL_TIMEOUT_S, max_records=max_records)
        meter.count(sum(map(len, polled.values())))


def _confluent(servers: str, topic: str, max_records: int, meter: child.Meter) -> None:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # By default it waits a second before it fetches more.
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([topic], on_assign=lambda *assigned: meter.start())
    while True:
        messages = consumer.consume(max_records, POLL_TIMEOUT_S)
        meter.count(sum(message.error() is None for message in messages))


if __name__ == "__main__":
    main()
