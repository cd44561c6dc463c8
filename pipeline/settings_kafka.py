"""What the worker is told of Kafka: where it is, what is read and written, and as whom."""

import re
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.configure import Secret

EXACTLY_ONCE: Literal["exactly_once"] = "exactly_once"
_SERVER = re.compile(r"[^\s,]+:\d{1,5}")
PART = ConfigDict(
    frozen=True,
    extra="forbid",
    use_attribute_docstrings=True,
    allow_inf_nan=False,
    # One of them may be a secret.
    hide_input_in_errors=True,
)

Protocol: TypeAlias = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class _MayBeEmpty(BaseModel):
    """Settings of which an empty one is not set, as a container's file often has it."""

    model_config = PART

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_set(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value != ""}

    def any_is_set(self) -> bool:
        """Whether any differs from its default."""
        return self != type(self)()


class TlsSettings(_MayBeEmpty):
    """Encryption, and certificates. Host names are always verified. Files are PEM."""

    ca_file: Path | None = None
    """Certificates of the authorities that brokers are trusted by. Empty: the system's."""

    certificate_file: Path | None = None
    """This client's certificate, and those behind it, for brokers that ask for one."""

    key_file: Path | None = None
    """Its private key. Empty: it stands in the certificate's file."""

    key_password: Secret | None = None
    """Of the private key, if that is encrypted."""

    @field_validator("ca_file", "certificate_file", "key_file")
    @classmethod
    def _is_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"{path}: no such file")
        return path

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.certificate_file is None and (self.key_file or self.key_password):
            raise ValueError(
                "a key is of no use without PIPELINE_KAFKA__TLS__CERTIFICATE_FILE"
            )
        return self


class SaslSettings(_MayBeEmpty):
    """User name and password."""

    mechanism: Literal["SCRAM-SHA-512", "PLAIN"] = "SCRAM-SHA-512"
    """How it is shown that the password is known. `PLAIN` sends the password itself."""

    username: str | None = None
    """Who this is."""

    password: Secret | None = None
    """Best given as a file, by `--secrets-dir`."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.username is None) != (self.password is None):
            missing = "USERNAME" if self.username is None else "PASSWORD"
            raise ValueError(
                "user name and password go together; "
                f"PIPELINE_KAFKA__SASL__{missing} is not set"
            )
        return self


class KafkaSettings(BaseModel):
    """Where readings come from and where alerts go."""

    model_config = PART

    bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to begin with, `host:port`, separated by commas."""

    group_id: str = Field(default="pipeline", min_length=1)
    """Consumer group. Workers of one group share the partitions; start more to scale."""

    group_instance_id: str | None = None
    """Static membership: a name of this worker's own, so that a restart within
    `session_timeout_s` moves no partition. Never the same for two workers; of several
    processes each adds its number, `-0`, `-1` and so on."""

    readings_topic: str = Field(default="readings", min_length=1)
    """Topic of readings, one JSON object or array of them a record, keyed by unit."""

    alerts_topic: str = Field(default="alerts", min_length=1)
    """Topic of incidents, keyed by unit."""

    dead_letters_topic: str = Field(default="readings.dead", min_length=1)
    """Topic of records that are no readings, as they came, with headers that say why."""

    expected_topic: str = ""
    """Topic of virtual sensors: for each scored reading another one of the same unit and
    time, whose values are those that the networks expected. Empty: none is published."""

    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """Client library. `confluent` is the faster one, and needs the extra `fast`."""

    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    """At least once, an alert is published at once, and after a crash perhaps again, with
    the same content. `exactly_once`: alerts and offsets in one transaction each
    `commit_interval_s`, so that consumers that read what is committed see each alert once,
    and that much later. Its transactional ids begin with `group_id`."""

    session_timeout_s: float = Field(default=45.0, ge=6, le=1800)
    """A worker silent for this long loses its partitions. Brokers take 6 s to 30 min."""

    max_poll_interval_s: float = Field(default=300.0, ge=10)
    """A worker that takes longer than this over one batch loses its partitions."""

    commit_interval_s: float = Field(default=1.0, ge=0)
    """How long finished work may wait for its commit while records keep coming, to be
    repeated after a crash. 0 commits every batch."""

    max_replay_records: int = Field(default=5_000_000, ge=0)
    """Records of a partition that are read again, at most, to rebuild what was remembered
    of its units when it changes hands. Units that send less often than that start anew."""

    max_metadata_bytes: int = Field(default=4_000, ge=0, le=65_536)
    """Of what is stored beside an offset. No more than the brokers'
    `offset.metadata.max.bytes`, 4096 by default. 0: nothing, and units start anew."""

    connect_timeout_s: float = Field(default=30.0, gt=0)
    """How long the brokers may take to answer at the start."""

    send_timeout_s: float = Field(default=60.0, gt=0)
    """How long the brokers may take to acknowledge alerts and dead letters."""

    security_protocol: Protocol | None = None
    """`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. Empty: by what else is set,
    `SASL_SSL` with a user name, `SSL` with a file for TLS, otherwise `PLAINTEXT`."""

    tls: TlsSettings = TlsSettings()
    sasl: SaslSettings = SaslSettings()

    @property
    def protocol(self) -> Protocol:
        """`security_protocol`, or what follows from the rest."""
        if self.security_protocol is not None:
            return self.security_protocol
        if self.sasl.username is not None:
            # Never SASL_PLAINTEXT: a password that is sent in the clear is to be asked for.
            return "SASL_SSL"
        return "SSL" if self.tls.any_is_set() else "PLAINTEXT"

    @field_validator("security_protocol", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _are_servers(cls, servers: str) -> str:
        if not all(_SERVER.fullmatch(server.strip()) for server in servers.split(",")):
            raise ValueError(f"expected host:port, separated by commas, got {servers!r}")
        return servers

    @model_validator(mode="after")
    def _expected_is_no_other_topic(self) -> Self:
        # Among the readings the worker would read what it writes, without end.
        for name in ("readings_topic", "alerts_topic", "dead_letters_topic"):
            if self.expected_topic == getattr(self, name):
                raise ValueError(
                    f"PIPELINE_KAFKA__EXPECTED_TOPIC: expected a topic of its own, got "
                    f"{self.expected_topic!r}, which is PIPELINE_KAFKA__{name.upper()}"
                )
        return self

    @model_validator(mode="after")
    def _protocol_fits(self) -> Self:
        protocol = self.protocol
        if protocol.startswith("SASL") and self.sasl.username is None:
            raise ValueError(
                f"{protocol} needs PIPELINE_KAFKA__SASL__USERNAME and _PASSWORD"
            )
        if not protocol.startswith("SASL") and self.sasl.username is not None:
            raise ValueError(
                f"PIPELINE_KAFKA__SASL__USERNAME is of no use with {protocol}; "
                "set PIPELINE_KAFKA__SECURITY_PROTOCOL to SASL_SSL"
            )
        if not protocol.endswith("SSL") and self.tls.any_is_set():
            wanted = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
            raise ValueError(
                f"PIPELINE_KAFKA__TLS__ settings are of no use with {protocol}; "
                f"set PIPELINE_KAFKA__SECURITY_PROTOCOL to {wanted}"
            )
        return self
