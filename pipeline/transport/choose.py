"""Which client speaks to Kafka. Only the one that is asked for is imported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

from pipeline.errors import InputError
from pipeline.transport.base import Consumer, Producer, TransactionalProducer
from pipeline.transport.reader import Reader

ClientName: TypeAlias = Literal["kafka-python", "confluent"]


class Clients(NamedTuple):
    """One client's classes. Both clients' take the same arguments."""

    consumer: Callable[..., Consumer]
    producer: Callable[..., Producer]
    transactional_producer: Callable[..., TransactionalProducer]
    """Takes what `producer` takes, and a `transactional_id`. Its consumers must read what
    is committed."""
    reader: Callable[..., Reader]
    """Takes what `consumer` takes of servers, topic and options."""


def clients(name: ClientName) -> Clients:
    """The classes of a client.

    Raises:
        InputError: it is not installed.
    """
    if name == "kafka-python":
        from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
        from pipeline.transport.kafka_python_reader import KafkaPythonReader
        from pipeline.transport.kafka_python_transactions import KafkaPythonTransactions

        return Clients(
            KafkaPythonConsumer,
            KafkaPythonProducer,
            KafkaPythonTransactions,
            KafkaPythonReader,
        )
    with _told_what_to_install():
        from pipeline.transport.confluent import ConfluentConsumer, ConfluentProducer
        from pipeline.transport.confluent_reader import ConfluentReader
        from pipeline.transport.confluent_transactions import ConfluentTransactions

        return Clients(
            ConfluentConsumer, ConfluentProducer, ConfluentTransactions, ConfluentReader
        )


@contextmanager
def _told_what_to_install() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise InputError(
            "PIPELINE_KAFKA__CLIENT=confluent needs confluent-kafka: "
            "pip install 'sensor-anomaly-pipeline[fast]'"
        ) from error
