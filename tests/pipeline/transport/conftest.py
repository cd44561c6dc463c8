"""Each Kafka client in turn."""

import pytest

from tests.pipeline.transport.clients import CLIENTS, Client


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]
