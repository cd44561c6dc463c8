"""Both Kafka clients behind one face, for the tests that both must pass."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.transport.base import RebalanceListener
from pipeline.transport.choose import ClientName
from pipeline.transport.confluent import ConfluentConsumer, ConfluentProducer
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from tests.support import KafkaTransport


class Client(NamedTuple):
    """One client's classes, and what it calls an option of both."""

    name: str
    consumer: Any
    producer: Any
    security_protocol: str
    offset_reset: str

    @property
    def read_committed(self) -> dict[str, str]:
        """The option of a consumer that reads what is committed."""
        separator = "." if self.name == "confluent" else "_"
        return {f"isolation{separator}level": "read_committed"}

    def transport(self, bootstrap_servers: str) -> KafkaTransport:
        if self.name == "confluent":
            return ConfluentTransport(bootstrap_servers)
        return KafkaTransport(bootstrap_servers)


CLIENTS: Mapping[str, Client] = {
    "kafka_python": Client(
        "kafka_python",
        KafkaPythonConsumer,
        KafkaPythonProducer,
        "security_protocol",
        "auto_offset_reset",
    ),
    "confluent": Client(
        "confluent",
        ConfluentConsumer,
        ConfluentProducer,
        "security.protocol",
        "auto.offset.reset",
    ),
}


class ConfluentTransport(KafkaTransport):
    CLIENT: ClientName = "confluent"
    ISOLATION_LEVEL = "isolation.level"

    def producer(self) -> ConfluentProducer:
        producer = ConfluentProducer(bootstrap_servers=self._bootstrap_servers)
        self._opened.append(producer)
        return producer

    def consumer(  # type: ignore[override]
        self,
        topic: str,
        group_id: str,
        listener: RebalanceListener | None = None,
        group_instance_id: str | None = None,
        max_poll_interval_s: float = 300.0,
        **client_options: object,
    ) -> ConfluentConsumer:
        consumer = ConfluentConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=group_id,
            topic=topic,
            listener=listener,
            group_instance_id=group_instance_id,
            max_poll_interval_s=max_poll_interval_s,
            client_options={
                # As for kafka-python: a rebalance and new partitions are soon heard of.
                "heartbeat.interval.ms": 100,
                "topic.metadata.refresh.interval.ms": 500,
                **client_options,
            },
        )
        self._opened.append(consumer)
        return consumer
