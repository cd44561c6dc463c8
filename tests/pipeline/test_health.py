"""The worker's three pages, over real HTTP."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter

from pipeline.errors import InputError
from pipeline.health import Health, HealthServer

MAX_TURN_S = 100.0


@pytest.fixture
def health() -> Health:
    return Health(max_turn_s=MAX_TURN_S, now_s=time.monotonic())


@pytest.fixture
def url(health: Health) -> Iterator[str]:
    registry = CollectorRegistry()
    Counter("turns", "Turns.", registry=registry).inc(3)
    with HealthServer("127.0.0.1", 0, registry, health) as server:
        yield f"http://127.0.0.1:{server.port}"


def get(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_are_what_the_registry_holds(url: str) -> None:
    status, body = get(url + "/metrics")

    assert status == 200
    assert "turns_total 3.0" in body


def test_a_worker_that_starts_up_is_alive_but_not_ready(url: str) -> None:
    assert get(url + "/healthz")[0] == 200
    status, body = get(url + "/readyz")

    assert status == 503
    assert json.loads(body) == {
        "detector_verified": False,
        "loop_turning": False,
        "partitions_assigned": False,
        "broker_takes_alerts": True,
    }


def test_a_worker_with_detector_and_partitions_is_ready(url: str, health: Health) -> None:
    health.detector_verified()
    health.turned(n_partitions=2, now_s=time.monotonic())

    assert get(url + "/readyz")[0] == 200
    assert get(url + "/healthz") == (200, '{"loop_turning": true}\n')


def test_a_worker_without_partitions_is_alive_but_not_ready(
    url: str, health: Health
) -> None:
    health.detector_verified()
    health.turned(n_partitions=0, now_s=time.monotonic())

    assert get(url + "/healthz")[0] == 200
    assert get(url + "/readyz")[0] == 503


def test_a_worker_whose_loop_has_stalled_is_neither(url: str, health: Health) -> None:
    health.detector_verified()
    health.turned(n_partitions=2, now_s=time.monotonic() - 2 * MAX_TURN_S)

    assert get(url + "/healthz") == (503, '{"loop_turning": false}\n')
    assert get(url + "/readyz")[0] == 503


def test_a_turn_may_take_its_time_and_no_longer(health: Health) -> None:
    health.turned(n_partitions=1, now_s=1000.0)

    assert health.liveness(now_s=1000.0 + MAX_TURN_S) == {"loop_turning": True}
    assert health.liveness(now_s=1000.1 + MAX_TURN_S) == {"loop_turning": False}


def test_any_other_page_is_not_found_and_names_those_there_are(url: str) -> None:
    status, body = get(url + "/")

    assert status == 404
    assert "/metrics /healthz /readyz" in body


def test_a_query_does_not_change_the_page(url: str) -> None:
    assert get(url + "/healthz?verbose=1")[0] == 200


def test_a_port_in_use_is_one_clear_message(health: Health) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(InputError, match=f"127.0.0.1:{port}.*PIPELINE_HTTP__PORT"):
            HealthServer("127.0.0.1", port, CollectorRegistry(), health)


def test_a_worker_that_never_gets_through_its_start_is_not_alive() -> None:
    health = Health(max_turn_s=MAX_TURN_S, now_s=0.0)

    assert all(health.liveness(now_s=MAX_TURN_S).values())
    assert not all(health.liveness(now_s=MAX_TURN_S + 1).values())
