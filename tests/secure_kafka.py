"""A real Kafka that asks who connects, certificates for it, and settings of its clients."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from pipeline.configure import read_settings
from pipeline.kafka_listeners import SecureListeners
from pipeline.kafka_server import LocalKafka
from pipeline.settings import Settings

USERNAME = "alice"
# With what has a meaning to Python and to URLs.
PASSWORD = "pass-h'unter2%"
KEY_PASSWORD = "key-h'unter2%"
SECRETS = (PASSWORD, KEY_PASSWORD)
NAME_IN_CERTIFICATE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files in a folder."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def other_authority(self) -> Path:
        return self.folder / "other-authority.pem"

    @property
    def broker(self) -> Path:
        """Key and certificate of the broker."""
        return self.folder / "broker.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Encrypted, with `KEY_PASSWORD`."""
        return self.folder / "client.key"

    @property
    def stranger(self) -> Path:
        """Key and certificate of a client, signed by the other authority."""
        return self.folder / "stranger.pem"


def certificates(folder: Path) -> Certificates:
    """New ones, valid for a while."""
    made = Certificates(folder)
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(made.authority)
    other.cert_pem.write_to_path(made.other_authority)
    broker = authority.issue_cert(NAME_IN_CERTIFICATE)
    made.broker.write_bytes(key_of(broker) + chain_of(broker))
    client = authority.issue_cert("worker@example.org")
    made.client.write_bytes(chain_of(client))
    made.client_key.write_bytes(key_of(client, KEY_PASSWORD))
    stranger = other.issue_cert("stranger@example.org")
    made.stranger.write_bytes(key_of(stranger) + chain_of(stranger))
    return made


def key_of(certificate: trustme.LeafCert, password: str | None = None) -> bytes:
    """In PKCS#8, the only form that Kafka reads."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def chain_of(certificate: trustme.LeafCert) -> bytes:
    return b"".join(each.bytes() for each in certificate.cert_chain_pems)


@contextmanager
def secure_kafka(made: Certificates) -> Iterator[LocalKafka]:
    """Listens with each of the protocols; takes `USERNAME` with `PASSWORD`."""
    secure = SecureListeners(made.broker, made.authority, USERNAME, PASSWORD)
    with LocalKafka(n_partitions=2, secure=secure) as kafka:
        yield kafka


def settings_for(way: str, kafka: LocalKafka, made: Certificates) -> dict[str, str]:
    """Variables to connect with one of `WAYS`."""
    protocol, mechanism = WAYS[way]
    settings = {"PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.servers(protocol)}
    if protocol.endswith("SSL"):
        settings["PIPELINE_KAFKA__TLS__CA_FILE"] = str(made.authority)
    if protocol == "SSL":
        settings |= {
            "PIPELINE_KAFKA__TLS__CERTIFICATE_FILE": str(made.client),
            "PIPELINE_KAFKA__TLS__KEY_FILE": str(made.client_key),
            "PIPELINE_KAFKA__TLS__KEY_PASSWORD": KEY_PASSWORD,
        }
    else:
        settings |= {
            "PIPELINE_KAFKA__SECURITY_PROTOCOL": protocol,
            "PIPELINE_KAFKA__SASL__MECHANISM": mechanism,
            "PIPELINE_KAFKA__SASL__USERNAME": USERNAME,
            "PIPELINE_KAFKA__SASL__PASSWORD": PASSWORD,
        }
    return settings


WAYS: Mapping[str, tuple[str, str]] = {
    "client certificate": ("SSL", ""),
    "PLAIN over TLS": ("SASL_SSL", "PLAIN"),
    "SCRAM over TLS": ("SASL_SSL", "SCRAM-SHA-512"),
    "SCRAM without TLS": ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
}
"""The broker's protocol and the SASL mechanism."""


def settings_of(variables: Mapping[str, str], **more: object) -> Settings:
    """The settings that these variables are."""
    dotted = {
        name.removeprefix("PIPELINE_").lower().replace("__", "."): value
        for name, value in variables.items()
    }
    return read_settings(Settings, {"detector": "/d", **dotted, **more})


WRONG = {
    "a wrong password": (
        "SCRAM over TLS",
        {"PIPELINE_KAFKA__SASL__PASSWORD": "wrong"},
        "it refuses user 'alice' by SASL SCRAM-SHA-512: .*; check PIPELINE_KAFKA__SASL__",
    ),
    "a wrong password that is sent as it is": (
        "PLAIN over TLS",
        {"PIPELINE_KAFKA__SASL__PASSWORD": "wrong"},
        "it refuses user 'alice' by SASL PLAIN: .*; check PIPELINE_KAFKA__SASL__",
    ),
    "an unknown authority": (
        "PLAIN over TLS",
        {"PIPELINE_KAFKA__TLS__CA_FILE": "other-authority.pem"},
        "its certificate is not trusted: .* is PIPELINE_KAFKA__TLS__CA_FILE the authority",
    ),
    "another host name": (
        "client certificate",
        {"PIPELINE_KAFKA__BOOTSTRAP_SERVERS": "localhost"},
        "its certificate is not one for 'localhost'; put a name that is in it into "
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS",
    ),
    "no certificate": (
        "client certificate",
        {
            "PIPELINE_KAFKA__TLS__CERTIFICATE_FILE": "",
            "PIPELINE_KAFKA__TLS__KEY_FILE": "",
            "PIPELINE_KAFKA__TLS__KEY_PASSWORD": "",
        },
        "it asks for a client's certificate; set PIPELINE_KAFKA__TLS__CERTIFICATE_FILE",
    ),
    "a certificate of a stranger": (
        "client certificate",
        {
            "PIPELINE_KAFKA__TLS__CERTIFICATE_FILE": "stranger.pem",
            "PIPELINE_KAFKA__TLS__KEY_FILE": "",
        },
        "it refuses the certificate of .*stranger.pem: .* signed by an authority",
    ),
    "no user name": (
        "PLAIN over TLS",
        {
            "PIPELINE_KAFKA__SECURITY_PROTOCOL": "SSL",
            "PIPELINE_KAFKA__SASL__USERNAME": "",
            "PIPELINE_KAFKA__SASL__PASSWORD": "",
        },
        "it asks for a user name, by SASL PLAIN, SCRAM-SHA-512; set PIPELINE_KAFKA__SASL__",
    ),
}


def wrong_settings(what: str, kafka: LocalKafka, pem: Certificates) -> dict[str, str]:
    way, changed, _ = WRONG[what]
    settings = settings_for(way, kafka, pem)
    for name, value in changed.items():
        if value == "localhost":
            settings[name] = settings[name].replace("127.0.0.1", value)
        else:
            settings[name] = str(pem.folder / value) if value.endswith(".pem") else value
    return settings
