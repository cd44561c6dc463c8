"""Fixtures for the whole suite: a real Kafka, and topics on it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import pytest

from pipeline.kafka_server import LocalKafka
from tests import support

# A shell starts what it puts into the background with Ctrl-C ignored, and so would all be
# that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka_bootstrap_servers() -> Iterator[str]:
    """A real Kafka: the one that is given, or a container, or else a child process."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
    elif _docker_answers():
        with _kafka_container() as bootstrap_servers:
            yield bootstrap_servers
    else:
        with LocalKafka() as kafka:
            yield kafka.bootstrap_servers


@pytest.fixture
def make_topic(kafka_bootstrap_servers: str) -> Callable[[int], str]:
    """Creates a topic with so many partitions and returns its name, new each time."""
    return lambda n_partitions: support.make_topic(kafka_bootstrap_servers, n_partitions)


def _docker_answers() -> bool:
    try:
        client = import_module("docker").from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    # Not installed, not running, not ours to use: in each case there is another way.
    except Exception:
        return False


@contextmanager
def _kafka_container() -> Iterator[str]:
    from testcontainers.community.kafka import KafkaContainer

    with KafkaContainer().with_kraft() as container:
        yield container.get_bootstrap_server()
