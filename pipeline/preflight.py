"""Greets a broker as a client would, to say what is wrong before a client says nothing.

To both libraries a broker whose certificate is not trusted, or that refuses a password, is
one that does not answer: they go on trying until the time to connect is over.
"""

import socket
import ssl
import struct
import time
from contextlib import ExitStack

from pipeline.errors import TransportError, one_line
from pipeline.sasl import Refused, authenticate, exchange, refuse_if_asked_for
from pipeline.security import tls_context
from pipeline.settings_kafka import KafkaSettings, TlsSettings

SERVER_TIMEOUT_S = 5.0
"""For one broker. One that takes longer is left to the client."""
_API_VERSIONS = 18
# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAME = (62, 64)


def check_connection(kafka: KafkaSettings) -> None:
    """Return if a broker takes this client, or if none of them answers yet.

    Raises:
        InputError: the files for TLS cannot be used.
        TransportError: brokers answer, and none of them takes this client.
    """
    if kafka.protocol == "PLAINTEXT":
        return
    context = tls_context(kafka.tls) if kafka.protocol.endswith("SSL") else None
    deadline_s = time.monotonic() + kafka.connect_timeout_s
    refusals = []
    for server in kafka.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            break
        try:
            _greet(kafka, context, host.strip("[]"), int(port), remaining_s)
            return
        except Refused as refusal:
            refusals.append(f"Kafka {server.strip()}: {refusal}")
        except (OSError, OverflowError, UnicodeError):
            # Nobody is there, so far, or could be: the client says that, or waits.
            continue
    if refusals:
        raise TransportError(refusals[0], retriable=False)


def _greet(
    kafka: KafkaSettings,
    context: ssl.SSLContext | None,
    host: str,
    port: int,
    timeout_s: float,
) -> None:
    with ExitStack() as stack:
        connection: socket.socket = stack.enter_context(
            socket.create_connection((host, port), min(timeout_s, SERVER_TIMEOUT_S))
        )
        if context is not None:
            connection = stack.enter_context(_encrypted(connection, context, host))
        try:
            # In TLS 1.3 only the first answer shows whether our certificate was taken.
            exchange(connection, _API_VERSIONS, 0, b"")
            if kafka.protocol.startswith("SASL"):
                authenticate(connection, kafka.sasl)
            else:
                refuse_if_asked_for(connection)
        except ssl.SSLError as error:
            raise Refused(_of_our_certificate(kafka.tls, error)) from None
        except (IndexError, KeyError, ValueError, struct.error):
            raise Refused("its answers are not Kafka's") from None


def _encrypted(
    connection: socket.socket, context: ssl.SSLContext, host: str
) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_NAME:
            raise Refused(
                f"its certificate is not one for {host!r}; put a name that is in it into "
                "PIPELINE_KAFKA__BOOTSTRAP_SERVERS"
            ) from None
        raise Refused(
            f"its certificate is not trusted: {error.verify_message}; is "
            "PIPELINE_KAFKA__TLS__CA_FILE the authority that signed it?"
        ) from None
    except (ssl.SSLError, ConnectionResetError) as error:
        raise Refused(
            f"it speaks no TLS, or none that this client speaks: {_reason(error)}; "
            "is it the right port for PIPELINE_KAFKA__SECURITY_PROTOCOL?"
        ) from None


def _of_our_certificate(tls: TlsSettings, error: ssl.SSLError) -> str:
    if tls.certificate_file is None:
        return (
            "it asks for a client's certificate; set "
            f"PIPELINE_KAFKA__TLS__CERTIFICATE_FILE ({_reason(error)})"
        )
    return (
        f"it refuses the certificate of {tls.certificate_file}: {_reason(error)}; it must "
        "be signed by an authority that the broker trusts, and not be expired"
    )


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return one_line(reason or error).replace("_", " ").lower()
