"""Whether the worker lives and is ready, and the one port that tells: `/metrics`,
`/healthz`, `/readyz`."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline.errors import InputError

REQUEST_TIMEOUT_S = 10.0
"""A client that sends nothing for so long is dropped."""


class Checks(Protocol):
    """What `/healthz` and `/readyz` answer: 200 where all of it holds."""

    def liveness(self, now_s: float) -> dict[str, bool]:
        """What must hold for the process to be left alone.

        Args:
            now_s: monotonic clock.
        """

    def readiness(self, now_s: float) -> dict[str, bool]:
        """What must hold for the worker to be doing its work.

        Args:
            now_s: monotonic clock.
        """


class Health:
    """What the worker last showed of itself. Written by the loop, read by HTTP threads."""

    def __init__(self, max_turn_s: float, now_s: float) -> None:
        """Begin at `now_s` of the monotonic clock, which starting up counts from."""
        self._max_turn_s = max_turn_s
        self._last_turn_s = now_s
        self._has_turned = False
        self._n_partitions = 0
        self._detector_verified = False

    def detector_verified(self) -> None:
        """The detector was loaded and passed its golden windows."""
        self._detector_verified = True

    def turned(self, n_partitions: int, now_s: float) -> None:
        """The loop has completed a turn.

        Args:
            n_partitions: partitions assigned now.
            now_s: monotonic clock.
        """
        self._last_turn_s = now_s
        self._has_turned = True
        self._n_partitions = n_partitions

    def liveness(self, now_s: float) -> dict[str, bool]:
        # Starting up is a turn, too.
        return {"loop_turning": now_s - self._last_turn_s <= self._max_turn_s}

    def readiness(self, now_s: float) -> dict[str, bool]:
        return {
            "detector_verified": self._detector_verified,
            "loop_turning": self._has_turned and self.liveness(now_s)["loop_turning"],
            "partitions_assigned": self._n_partitions > 0,
        }


class HealthServer:
    """Serves the three pages from a thread of its own. A context manager.

    Raises:
        InputError: on start, the address cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, checks: Checks
    ) -> None:
        try:
            self._server = _Server((host, port), _handler(registry, checks), ":" in host)
        except OSError as error:
            raise InputError(
                f"cannot listen on {host}:{port}: {error.strerror}; "
                "set PIPELINE_HTTP__PORT to a free port"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        return int(self._server.server_address[1])

    def __enter__(self) -> "HealthServer":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        is_ipv6: bool,
    ) -> None:
        self.address_family = AF_INET6 if is_ipv6 else AF_INET
        super().__init__(address, handler)


def _handler(registry: CollectorRegistry, checks: Checks) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path == "/healthz":
                self._answer_checks(checks.liveness(time.monotonic()))
            elif path == "/readyz":
                self._answer_checks(checks.readiness(time.monotonic()))
            else:
                self._answer(404, "text/plain", b"/metrics /healthz /readyz\n")

        def _answer_checks(self, held: dict[str, bool]) -> None:
            body = json.dumps(held).encode() + b"\n"
            self._answer(200 if all(held.values()) else 503, "application/json", body)

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "pipeline"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """A probe every few seconds is not worth a line."""

    return Handler
