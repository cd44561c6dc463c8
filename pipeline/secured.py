"""The client classes with who we are to Kafka filled in."""

from functools import partial

from pipeline.preflight import check_connection
from pipeline.security import client_options
from pipeline.settings_kafka import KafkaSettings
from pipeline.transport.choose import Clients

READ_COMMITTED = {
    "kafka-python": {"isolation_level": "read_committed"},
    "confluent": {"isolation.level": "read_committed"},
}


def secured(
    clients: Clients, kafka: KafkaSettings, reads_committed: bool = False
) -> Clients:
    """`clients`, to be called without `client_options`.

    Args:
        clients: the classes of `kafka.client`.
        kafka: how to connect.
        reads_committed: has consumers and readers leave out what a transaction took back.

    Raises:
        InputError: files for TLS cannot be used.
        TransportError: brokers answer, and none of them takes this client.
    """
    check_connection(kafka)
    options = client_options(kafka)
    reading = READ_COMMITTED[kafka.client] if reads_committed else {}
    return Clients(
        consumer=partial(clients.consumer, client_options={**options, **reading}),
        producer=partial(clients.producer, client_options=options),
        transactional_producer=partial(
            clients.transactional_producer, client_options=options
        ),
        reader=partial(clients.reader, client_options={**options, **reading}),
    )
