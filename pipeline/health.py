"""Whether the worker lives and is ready, and the one port that tells: `/metrics`,
`/healthz`, `/readyz`."""

import json
import time
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline.pages_server import Page, PagesServer


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
        self._publishes = True

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

    def publishes(self, *, is_possible: bool) -> None:
        """Whether the broker took the last turn's alerts."""
        self._publishes = is_possible

    def liveness(self, now_s: float) -> dict[str, bool]:
        # Starting up is a turn, too.
        return {"loop_turning": now_s - self._last_turn_s <= self._max_turn_s}

    def readiness(self, now_s: float) -> dict[str, bool]:
        return {
            "detector_verified": self._detector_verified,
            "loop_turning": self._has_turned and self.liveness(now_s)["loop_turning"],
            "partitions_assigned": self._n_partitions > 0,
            "broker_takes_alerts": self._publishes,
        }


class HealthServer(PagesServer):
    """Serves the three pages from a thread of its own. A context manager.

    Raises:
        InputError: on start, the address cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, checks: Checks
    ) -> None:
        pages = {
            "/metrics": lambda: Page(200, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/healthz": lambda: _checked(checks.liveness(time.monotonic())),
            "/readyz": lambda: _checked(checks.readiness(time.monotonic())),
        }
        super().__init__(host, port, pages)


def _checked(held: dict[str, bool]) -> Page:
    body = json.dumps(held).encode() + b"\n"
    return Page(200 if all(held.values()) else 503, "application/json", body)
