"""Which client speaks to Kafka. Only the one that is asked for is imported."""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from pipeline.errors import InputError
from pipeline.transport.base import Consumer, Producer

ClientName: TypeAlias = Literal["kafka-python", "confluent"]


class Clients(NamedTuple):
    """One client's classes. Both clients' take the same arguments."""

    consumer: Callable[..., Consumer]
    producer: Callable[..., Producer]


def clients(name: ClientName) -> Clients:
    """The classes of a client.

    Raises:
        InputError: it is not installed.
    """
    if name == "kafka-python":
        from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer

        return Clients(KafkaPythonConsumer, KafkaPythonProducer)
    try:
        from pipeline.transport.confluent import ConfluentConsumer, ConfluentProducer
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise InputError(
            "PIPELINE_KAFKA__CLIENT=confluent needs confluent-kafka: "
            "pip install 'sensor-anomaly-pipeline[fast]'"
        ) from error
    return Clients(ConfluentConsumer, ConfluentProducer)
