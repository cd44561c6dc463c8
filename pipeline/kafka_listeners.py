"""What the local Kafka is set up with: its ports, and what it asks of those who connect."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class SecureListeners:
    """Further ports, on which the local Kafka asks who connects. See `LocalKafka`.

    Files are PEM; the key is in PKCS#8, without a password: Kafka reads no other. For
    tests: the password stands in a file and on a command line.
    """

    key_and_chain: Path
    """The broker's own: its key, then its certificate and those behind it."""
    client_authority: Path
    """Whoever signed clients' certificates."""
    username: str
    password: str = field(repr=False)
    """Of both SASL mechanisms."""


class Listener(NamedTuple):
    """One port of a broker."""

    name: str
    port: int
    advertised_port: int
    """Where clients are told to find it."""
    protocol: str
    """Kafka's name of it, `SASL_SSL`."""


PLAINTEXT = "PLAINTEXT"
PROXIED = "PROXIED"
"""A listener's name: clients are told to find it elsewhere."""
PROTOCOLS = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
"""Of `SecureListeners`, each with a port of its own."""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={listeners},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
num.partitions={n_partitions}
auto.create.topics.enable=true
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
"""

_SECURE_PROPERTIES = """\
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
"""
_SASL_PROPERTIES = """\
listener.name.{name}.plain.sasl.jaas.config={login}plain.PlainLoginModule required \
user_{username}="{password}";
listener.name.{name}.scram-sha-512.sasl.jaas.config={login}scram.ScramLoginModule required;
"""
_LOGIN = "org.apache.kafka.common.security."


def properties(
    folder: Path,
    listeners: Sequence[Listener],
    controller_port: int,
    n_partitions: int,
    secure: SecureListeners | None,
) -> str:
    """The text of `server.properties`."""
    text = _PROPERTIES.format(
        folder=folder,
        listeners=",".join(f"{each.name}://127.0.0.1:{each.port}" for each in listeners),
        advertised=",".join(
            f"{each.name}://127.0.0.1:{each.advertised_port}" for each in listeners
        ),
        protocols=",".join(f"{each.name}:{each.protocol}" for each in listeners),
        controller_port=controller_port,
        n_partitions=n_partitions,
    )
    if secure is None:
        return text
    text += _SECURE_PROPERTIES.format(
        keystore=secure.key_and_chain, truststore=secure.client_authority
    )
    for listener in listeners:
        if listener.protocol.startswith("SASL"):
            text += _SASL_PROPERTIES.format(
                name=listener.name.lower(),
                login=_LOGIN,
                username=secure.username,
                password=secure.password,
            )
    return text


def format_options(secure: SecureListeners | None) -> list[str]:
    """What the tool that formats Kafka's storage is told beyond the properties."""
    if secure is None:
        return []
    credentials = f"[name={secure.username},password={secure.password}]"
    return ["--add-scram", f"SCRAM-SHA-512={credentials}"]
