"""What a client says to authenticate itself to a broker, for `preflight`."""

import base64
import hashlib
import hmac
import secrets
import socket
import struct
from contextlib import suppress

from pydantic import SecretStr

from pipeline.errors import one_line
from pipeline.settings_kafka import SaslSettings

_HANDSHAKE, _AUTHENTICATE = 17, 36
_MAX_ANSWER_BYTES = 2**20
_MAX_ITERATIONS = 1_000_000
"""Of the key's derivation: half a second. A server that is none could ask for any."""


class Refused(Exception):
    """A broker answers, and does not take this client. Its text says what to do."""


def exchange(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """Send one request of Kafka's protocol and return the answer's body.

    Raises:
        OSError: the broker is gone, or does not answer in time.
        Refused: it answers with something else.
    """
    # Correlation id 0, no client id.
    request = struct.pack(">hhih", api, version, 0, -1) + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (n_bytes,) = struct.unpack(">i", _received(connection, 4))
    if not 4 <= n_bytes <= _MAX_ANSWER_BYTES:
        raise Refused(
            "its answers are not Kafka's; does its port want TLS? "
            "See PIPELINE_KAFKA__SECURITY_PROTOCOL"
        )
    return _received(connection, n_bytes)[4:]


def authenticate(connection: socket.socket, sasl: SaslSettings) -> None:
    """Show who we are, as `sasl` says.

    Raises:
        OSError: the broker is gone, or does not answer in time.
        Refused: it does not take the mechanism, the user name or the password.
    """
    answer = exchange(connection, _HANDSHAKE, 1, _string(sasl.mechanism))
    (error,) = struct.unpack_from(">h", answer)
    if error:
        offered = ", ".join(_strings(answer[2:])) or "none"
        raise Refused(
            f"it takes no SASL {sasl.mechanism} on this port, only: {offered}; "
            "see PIPELINE_KAFKA__SASL__MECHANISM and PIPELINE_KAFKA__SECURITY_PROTOCOL"
        )
    username, password = sasl.username or "", sasl.password or SecretStr("")
    if sasl.mechanism == "PLAIN":
        fields = ("", username, password.get_secret_value())
        _step(connection, sasl, "\0".join(fields).encode())
    else:
        _scram(connection, sasl, username, password.get_secret_value())


def refuse_if_asked_for(connection: socket.socket) -> None:
    """Raise Refused if the broker wants a user name, and there is none to give."""
    # Brokers that want none answer with an error and no mechanism, or hang up.
    with suppress(ConnectionError):
        answer = exchange(connection, _HANDSHAKE, 1, _string("NONE"))
        if offered := ", ".join(_strings(answer[2:])):
            raise Refused(
                f"it asks for a user name, by SASL {offered}; set "
                "PIPELINE_KAFKA__SASL__USERNAME, _PASSWORD and _MECHANISM"
            )


def _scram(
    connection: socket.socket, sasl: SaslSettings, username: str, password: str
) -> None:
    """Source: RFC 5802, section 3, with SHA-512."""
    nonce = secrets.token_hex(16)
    escaped = username.replace("=", "=3D").replace(",", "=2C")
    first_bare = f"n={escaped},r={nonce}"
    server_first = _step(connection, sasl, f"n,,{first_bare}".encode()).decode()
    fields = dict(field.split("=", 1) for field in server_first.split(","))
    n_iterations = int(fields["i"])
    if n_iterations > _MAX_ITERATIONS or not fields["r"].startswith(nonce):
        raise Refused("its answers are not those of SCRAM")
    salted = hashlib.pbkdf2_hmac(
        "sha512", password.encode(), base64.b64decode(fields["s"]), n_iterations
    )
    client_key = hmac.digest(salted, b"Client Key", "sha512")
    stored_key = hashlib.sha512(client_key).digest()
    final_bare = f"c=biws,r={fields['r']}"
    signed = f"{first_bare},{server_first},{final_bare}".encode()
    signature = hmac.digest(stored_key, signed, "sha512")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    _step(connection, sasl, f"{final_bare},p={base64.b64encode(proof).decode()}".encode())


def _step(connection: socket.socket, sasl: SaslSettings, token: bytes) -> bytes:
    body = struct.pack(">i", len(token)) + token
    answer = exchange(connection, _AUTHENTICATE, 0, body)
    (error, n_bytes) = struct.unpack_from(">hh", answer)
    text_end = 4 + max(0, n_bytes)
    if error:
        text = one_line(answer[4:text_end].decode(errors="replace"))
        raise Refused(
            f"it refuses user {sasl.username!r} by SASL {sasl.mechanism}: {text}; check "
            "PIPELINE_KAFKA__SASL__USERNAME and PIPELINE_KAFKA__SASL__PASSWORD"
        )
    return answer[text_end + 4 :]


def _received(connection: socket.socket, n_bytes: int) -> bytes:
    received = b""
    while len(received) < n_bytes:
        chunk = connection.recv(n_bytes - len(received))
        if not chunk:
            raise ConnectionResetError("closed by the broker")
        received += chunk
    return received


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _strings(content: bytes) -> list[str]:
    (n_strings,) = struct.unpack_from(">i", content)
    found, at = [], 4
    for _ in range(min(n_strings, 100)):
        (n_bytes,) = struct.unpack_from(">h", content, at)
        found.append(content[at + 2 : at + 2 + n_bytes].decode(errors="replace"))
        at += 2 + n_bytes
    return found
