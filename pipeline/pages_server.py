"""A port that answers with a few pages and with nothing else.

Whoever can reach it may send anything. Python's own `http.server` has a thread for each
client, waits for as long as that sends a byte now and then, and reads megabytes of headers.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, Self

import structlog

from pipeline.errors import InputError

log = structlog.get_logger()

MAX_CONNECTIONS = 32
MAX_REQUEST_BYTES = 16 * 2**10
REQUEST_TIMEOUT_S = 5.0
"""For a whole request to arrive in."""
ANSWER_TIMEOUT_S = 10.0
"""For a whole answer to be taken."""
_LINGER_S = 1.0
_HEAD_END = b"\r\n\r\n"
_METHODS = ("GET", "HEAD")


class Page(NamedTuple):
    """What is answered."""

    status: int
    content_type: str
    body: bytes


class PagesServer:
    """Serves pages from threads of its own. A context manager."""

    def __init__(
        self, host: str, port: int, pages: Mapping[str, Callable[[], Page]]
    ) -> None:
        """Listen.

        Args:
            host: an address of this machine: who can reach that can see the pages.
            port: 0 takes a free one.
            pages: what makes each, by path. Called from several threads.

        Raises:
            InputError: the address cannot be listened on.
        """
        try:
            self._server = _Server((host, port), pages)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"cannot listen on {host}:{port}: {reason}; set PIPELINE_HTTP__PORT to a "
                "free port, PIPELINE_HTTP__HOST to an address of this machine"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Connections:
    """Bounds how many are open. Owns which of them are being waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._awaited: dict[socket.socket, None] = {}

    def enter(self, connection: socket.socket) -> bool:
        """Take one more; False if there is no place for it.

        Where all are taken, the one that has been waited for longest goes: a client that
        means it has said what it wants at once.
        """
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                if not self._awaited:
                    return False
                slowest = next(iter(self._awaited))
                del self._awaited[slowest]
                with suppress(OSError):
                    # Its thread, which waits for it, sees the end and leaves.
                    slowest.shutdown(socket.SHUT_RDWR)
            self._open.add(connection)
            return True

    @contextmanager
    def awaited(self, connection: socket.socket) -> Iterator[None]:
        """While this lasts it is one to go."""
        with self._lock:
            self._awaited[connection] = None
        try:
            yield
        finally:
            with self._lock:
                self._awaited.pop(connection, None)

    def leave(self, connection: socket.socket) -> None:
        """It is about to be closed, if it was open."""
        with self._lock:
            self._open.discard(connection)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], pages: Mapping[str, Callable[[], Page]]
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.pages = pages
        self.connections = _Connections()
        super().__init__(address, _Handler)

    def verify_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> bool:
        return isinstance(request, socket.socket) and self.connections.enter(request)

    def shutdown_request(
        self, request: socket.socket | tuple[bytes, socket.socket]
    ) -> None:
        if isinstance(request, socket.socket):
            self.connections.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever went away in the midst of it is not worth a line."""


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        connections = self.server.connections
        with connections.awaited(self.request):
            head = self._head()
        if head is None:
            return
        is_head_only, page = self._answer(head)
        self._send(page, is_head_only)
        with connections.awaited(self.request):
            self._linger()

    def _head(self) -> bytes | None:
        """What comes before a body, or what is too long for one; None if it never came."""
        deadline_s = time.monotonic() + REQUEST_TIMEOUT_S
        head = b""
        while _HEAD_END not in head and len(head) <= MAX_REQUEST_BYTES:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return None
            self.request.settimeout(remaining_s)
            received = self.request.recv(4096)
            if not received:
                return None
            head += received
        return head

    def _answer(self, head: bytes) -> tuple[bool, Page]:
        """Whether only the head of the answer is wanted, and the answer."""
        if _HEAD_END not in head[: MAX_REQUEST_BYTES + len(_HEAD_END)]:
            return False, _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        line = head.partition(b"\r\n")[0].decode("latin-1")
        method, _, rest = line.partition(" ")
        target, _, version = rest.rpartition(" ")
        if not (version in ("HTTP/1.0", "HTTP/1.1") and target.startswith("/")):
            return False, _error(HTTPStatus.BAD_REQUEST)
        if method not in _METHODS:
            return False, _error(HTTPStatus.METHOD_NOT_ALLOWED)
        make = self.server.pages.get(target.partition("?")[0])
        if make is None:
            names = " ".join(self.server.pages)
            page = Page(HTTPStatus.NOT_FOUND, "text/plain", names.encode() + b"\n")
        else:
            try:
                page = make()
            except Exception:
                log.exception("page_failed", page=target.partition("?")[0])
                page = _error(HTTPStatus.INTERNAL_SERVER_ERROR)
        return method == "HEAD", page

    def _send(self, page: Page, is_head_only: bool) -> None:
        status = HTTPStatus(page.status)
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {page.content_type}",
            f"Content-Length: {len(page.body)}",
            "Connection: close",
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append(f"Allow: {', '.join(_METHODS)}")
        head = "\r\n".join(lines).encode() + _HEAD_END
        self.request.settimeout(ANSWER_TIMEOUT_S)
        self.request.sendall(head if is_head_only else head + page.body)

    def _linger(self) -> None:
        """Take what is left of the request: closed before that, the answer may be lost."""
        self.request.shutdown(socket.SHUT_WR)
        deadline_s = time.monotonic() + _LINGER_S
        n_left = MAX_REQUEST_BYTES
        while n_left > 0 and (remaining_s := deadline_s - time.monotonic()) > 0:
            self.request.settimeout(remaining_s)
            received = self.request.recv(4096)
            if not received:
                return
            n_left -= len(received)


def _error(status: HTTPStatus) -> Page:
    return Page(status, "text/plain", f"{status.phrase}\n".encode())
