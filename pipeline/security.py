"""Who the worker is to Kafka, in the words of each client library, and as a TLS context."""

import ssl
from collections.abc import Mapping

from pydantic import SecretStr

from pipeline.errors import InputError, one_line
from pipeline.settings_kafka import KafkaSettings, TlsSettings


def client_options(kafka: KafkaSettings) -> Mapping[str, object]:
    """What the chosen client is told of security. Empty without any."""
    if kafka.protocol == "PLAINTEXT":
        return {}
    if kafka.client == "confluent":
        return librdkafka_options(kafka)
    return kafka_python_options(kafka)


def kafka_python_options(kafka: KafkaSettings) -> dict[str, object]:
    """As kafka-python names them. Host names are verified."""
    tls, sasl = kafka.tls, kafka.sasl
    return {
        "security_protocol": kafka.protocol,
        **_given(
            {
                "ssl_check_hostname": True if kafka.protocol.endswith("SSL") else None,
                "ssl_cafile": _text(tls.ca_file),
                "ssl_certfile": _text(tls.certificate_file),
                "ssl_keyfile": _text(tls.key_file),
                "ssl_password": _revealed(tls.key_password),
                "sasl_mechanism": sasl.mechanism if sasl.username else None,
                "sasl_plain_username": sasl.username,
                "sasl_plain_password": _revealed(sasl.password),
            }
        ),
    }


def librdkafka_options(kafka: KafkaSettings) -> dict[str, object]:
    """As librdkafka, and so confluent-kafka, names them."""
    tls, sasl = kafka.tls, kafka.sasl
    is_tls = kafka.protocol.endswith("SSL")
    return {
        "security.protocol": kafka.protocol,
        **_given(
            {
                "enable.ssl.certificate.verification": True if is_tls else None,
                "ssl.endpoint.identification.algorithm": "https" if is_tls else None,
                "ssl.ca.location": _text(tls.ca_file),
                "ssl.certificate.location": _text(tls.certificate_file),
                # It does not look for the key in the certificate's file by itself.
                "ssl.key.location": _text(tls.key_file or tls.certificate_file),
                "ssl.key.password": _revealed(tls.key_password),
                "sasl.mechanism": sasl.mechanism if sasl.username else None,
                "sasl.username": sasl.username,
                "sasl.password": _revealed(sasl.password),
            }
        ),
    }


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """As the clients make theirs, to see now what is wrong with the files.

    Raises:
        InputError: a file holds no certificate or key, they do not belong together, or the
            key's password is missing or wrong.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise InputError(
            f"PIPELINE_KAFKA__TLS__CA_FILE {tls.ca_file}: expected certificates in PEM: "
            f"{_reason(error)}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate_file is None:
        return context
    asked: list[bool] = []

    def password() -> str:
        # Given as a function: without one OpenSSL asks for it on the terminal.
        asked.append(True)
        return _revealed(tls.key_password) or ""

    try:
        context.load_cert_chain(tls.certificate_file, tls.key_file, password)
    except (OSError, ValueError) as error:
        key_file = tls.key_file or tls.certificate_file
        if asked:
            wrong = "missing" if tls.key_password is None else "not right"
            detail = f"{key_file}: the key is encrypted and its password is {wrong}"
            raise InputError(f"{detail}; set PIPELINE_KAFKA__TLS__KEY_PASSWORD") from None
        raise InputError(
            f"{tls.certificate_file}, {key_file}: expected a certificate and its private "
            f"key in PEM: {_reason(error)}"
        ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return one_line(error)


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
