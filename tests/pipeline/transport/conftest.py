"""Each Kafka client in turn, and each transport."""

from collections.abc import Iterator

import pytest

from tests.pipeline.transport.clients import CLIENTS, Client
from tests.support import MemoryTransport, Transport, unique_name


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


@pytest.fixture(params=["memory", *CLIENTS])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    transport: Transport
    if request.param == "memory":
        transport = MemoryTransport()
    else:
        servers = request.getfixturevalue("kafka_bootstrap_servers")
        transport = CLIENTS[request.param].transport(servers)
    yield transport
    transport.close()


@pytest.fixture
def group_id() -> str:
    return unique_name("group")
