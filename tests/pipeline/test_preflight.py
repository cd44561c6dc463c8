"""Why a broker does not take a client, said before the client tries."""

import pytest

from pipeline.errors import TransportError
from pipeline.kafka_server import LocalKafka
from pipeline.preflight import check_connection
from tests.secure_kafka import (
    WRONG,
    Certificates,
    settings_for,
    settings_of,
    wrong_settings,
)


@pytest.mark.parametrize("what", WRONG)
def test_a_refusal_says_what_is_wrong_and_what_to_set(
    what: str, secure_broker: LocalKafka, pem: Certificates
) -> None:
    settings = settings_of(wrong_settings(what, secure_broker, pem))

    with pytest.raises(TransportError, match=WRONG[what][2]) as raised:
        check_connection(settings.kafka)
    assert not raised.value.retriable
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("protocol", "port_of", "said"),
    [
        ("SSL", "PLAINTEXT", "it speaks no TLS"),
        ("SASL_PLAINTEXT", "SASL_SSL", "does its port want TLS"),
        ("SASL_PLAINTEXT", "PLAINTEXT", "takes no SASL SCRAM-SHA-512 on this port"),
    ],
)
def test_a_port_of_another_protocol_is_told_as_such(
    protocol: str, port_of: str, said: str, secure_broker: LocalKafka
) -> None:
    servers = (
        secure_broker.bootstrap_servers
        if port_of == "PLAINTEXT"
        else secure_broker.servers(port_of)
    )
    login = {"username": "alice", "password": "x"} if protocol.startswith("SASL") else {}
    settings = settings_of(
        {},
        kafka={
            "bootstrap_servers": servers,
            "security_protocol": protocol,
            "sasl": login,
        },
    )

    with pytest.raises(TransportError, match=said):
        check_connection(settings.kafka)


def test_one_broker_that_takes_us_is_enough(
    secure_broker: LocalKafka, pem: Certificates
) -> None:
    settings = settings_for("PLAIN over TLS", secure_broker, pem)
    nobody, stranger, friend = (
        "127.0.0.1:1",
        secure_broker.bootstrap_servers,
        secure_broker.servers("SASL_SSL"),
    )
    settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"] = f"{nobody},{stranger},{friend}"

    check_connection(settings_of(settings).kafka)  # raises nothing


def test_where_nobody_answers_it_is_left_to_the_client_to_wait(
    secure_broker: LocalKafka, pem: Certificates
) -> None:
    settings = settings_for("PLAIN over TLS", secure_broker, pem)
    settings["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:1"

    check_connection(settings_of(settings).kafka)  # raises nothing


@pytest.mark.parametrize("server", ["a..b:9092", "127.0.0.1:99999"])
def test_a_server_that_cannot_be_is_left_to_the_client_to_refuse(server: str) -> None:
    check_connection(
        settings_of(
            {"PIPELINE_KAFKA__BOOTSTRAP_SERVERS": server},
            **{"kafka.security_protocol": "SSL"},
        ).kafka
    )  # raises nothing
