"""The port answers with its pages and nothing else, whatever is sent to it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pipeline import pages_server
from pipeline.errors import InputError
from pipeline.pages_server import MAX_CONNECTIONS, MAX_REQUEST_BYTES, Page, PagesServer

DEADLINE_S = 30.0


def broken() -> Page:
    raise ValueError("inner details")


@pytest.fixture
def server() -> Iterator[PagesServer]:
    pages = {"/page": lambda: Page(200, "text/plain", b"content\n"), "/broken": broken}
    with PagesServer("127.0.0.1", 0, pages) as server:
        yield server


def connected(server: PagesServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)


def answer(server: PagesServer, request: bytes) -> bytes:
    """All that comes back."""
    with connected(server) as client:
        client.sendall(request)
        return rest(client)


def rest(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(65_536):
        received += chunk
    return received


def status(server: PagesServer, request: bytes) -> int:
    return int(answer(server, request).split()[1])


def get(path: str = "/page", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_a_page_is_answered_and_the_connection_closed(server: PagesServer) -> None:
    head, _, body = answer(server, get()).partition(b"\r\n\r\n")

    assert body == b"content\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Length: 8\r\n" in head
    assert head.endswith(b"\r\nConnection: close")


def test_an_answer_does_not_say_what_made_it(server: PagesServer) -> None:
    for request in (get(), get("/none"), get(method="POST"), b"nonsense\r\n\r\n"):
        said = answer(server, request).lower()

        assert b"server:" not in said
        assert b"python" not in said


def test_head_is_the_same_without_the_page(server: PagesServer) -> None:
    head, _, body = answer(server, get(method="HEAD")).partition(b"\r\n\r\n")

    assert body == b""
    assert b"\r\nContent-Length: 8\r\n" in head


def test_a_query_is_left_aside(server: PagesServer) -> None:
    assert status(server, get("/page?x=/none")) == 200


@pytest.mark.parametrize(
    "path", ["/", "/none", "/page/", "//page", "/PAGE", "/../page", "/%70age", "/page#x"]
)
def test_any_other_path_is_404_and_names_the_pages(path: str, server: PagesServer) -> None:
    said = answer(server, get(path))

    assert said.startswith(b"HTTP/1.1 404 ")
    assert said.endswith(b"\r\n\r\n/page /broken\n")


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 1_000]
)
def test_any_other_method_is_405_and_names_those_there_are(
    method: str, server: PagesServer
) -> None:
    said = answer(server, get(method=method) + b"a body that nobody reads")

    assert said.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: GET, HEAD\r\n" in said
    assert b"X" * 10 not in said


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET",
        b"GET /page",
        b"GET /page HTTP/0.9",
        b"GET /page HTTP/2.0",
        b"GET page HTTP/1.1",
        b"GET http://elsewhere/page HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_request_is_400(line: bytes, server: PagesServer) -> None:
    assert status(server, line + b"\r\n\r\n") == 400


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"x" * (2 * MAX_REQUEST_BYTES),
        b"GET /page HTTP/1.1\r\n" + b"X: y\r\n" * MAX_REQUEST_BYTES,
        b"\0" * (2 * MAX_REQUEST_BYTES),
    ],
    ids=["a long line", "many headers", "no line at all"],
)
def test_a_request_that_is_too_long_is_read_no_further(
    request_: bytes, server: PagesServer
) -> None:
    with connected(server) as client:
        try:
            client.sendall(request_)
            said = rest(client)
        except ConnectionError:
            # Closed, with the rest of it unread.
            said = b""

    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")


def test_a_request_may_come_in_pieces(server: PagesServer) -> None:
    with connected(server) as client:
        for byte in get():
            client.sendall(bytes([byte]))

        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_say_what_it_wants_is_dropped(
    server: PagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_server, "REQUEST_TIMEOUT_S", 0.05)

    assert answer(server, b"GET /page HTTP/1.1\r\n") == b""


def test_a_byte_now_and_then_does_not_keep_a_client(
    server: PagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_server, "REQUEST_TIMEOUT_S", 0.05)
    with connected(server) as client:
        assert is_dropped_while_it_sends(client)


def is_dropped_while_it_sends(client: socket.socket) -> bool:
    try:
        while True:
            client.sendall(b"X: y\r\n")
    except ConnectionError:
        return True


def test_slow_clients_do_not_keep_out_one_that_asks_at_once(server: PagesServer) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(2 * MAX_CONNECTIONS)]
        for client in slow:
            client.sendall(b"GET /page HTT")

        assert status(server, get()) == 200
        assert len(http_threads()) <= MAX_CONNECTIONS + 1


def http_threads() -> list[threading.Thread]:
    """Those that answer clients."""
    return [t for t in threading.enumerate() if "process_request_thread" in t.name]


def test_more_clients_than_there_is_room_for_take_no_more_threads() -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    def slow_page() -> Page:
        began.release()
        go_on.wait(DEADLINE_S)
        return Page(200, "text/plain", b"")

    with (
        PagesServer("127.0.0.1", 0, {"/slow": slow_page}) as server,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(connected(server)) for _ in range(MAX_CONNECTIONS)]
        for client in clients:
            client.sendall(get("/slow"))
            assert began.acquire(timeout=DEADLINE_S)

        assert closed_unanswered(server)
        assert len(http_threads()) == MAX_CONNECTIONS

        go_on.set()
        assert all(rest(client).startswith(b"HTTP/1.1 200 ") for client in clients)
        assert status(server, get("/slow")) == 200


def closed_unanswered(server: PagesServer) -> bool:
    try:
        return answer(server, get("/slow")) == b""
    except ConnectionError:
        return True


def test_a_page_that_cannot_be_made_is_500_without_the_reason(server: PagesServer) -> None:
    said = answer(server, get("/broken"))

    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"inner" not in said


def test_it_is_reached_at_its_address_alone(server: PagesServer) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), DEADLINE_S)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "127.0.0.1.1"])
def test_an_address_that_is_not_ours_is_one_clear_message(host: str) -> None:
    with pytest.raises(InputError, match="PIPELINE_HTTP__HOST to an address of this"):
        PagesServer(host, 0, {})


def test_an_ipv6_address_will_do() -> None:
    pages = {"/page": lambda: Page(200, "text/plain", b"")}
    with (
        PagesServer("::1", 0, pages) as server,
        socket.create_connection(("::1", server.port), DEADLINE_S) as client,
    ):
        client.sendall(get())

        assert rest(client).startswith(b"HTTP/1.1 200 ")
