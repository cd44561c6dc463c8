"""Whatever happens to workers and broker, the alert topic tells what one worker would."""

from pathlib import Path

import pytest

from pipeline.kafka_server import LocalKafka
from tests.chaos.proxy import Proxy
from tests.chaos.run import N_PARTITIONS, Way, run

SECONDS = 30.0


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_incidents_and_dead_letters_are_those_of_an_undisturbed_worker(
    tmp_path: Path, seed: int
) -> None:
    """At least once, exactly once, and that with the other client."""
    # Of its own: others would not like their Kafka to be restarted.
    with (
        Proxy() as proxy,
        LocalKafka(n_partitions=N_PARTITIONS, proxy_port=proxy.port) as kafka,
    ):
        outcome = run(kafka, proxy, seed, SECONDS, tmp_path, Way.of(seed))

    assert outcome.differences == [], outcome.report
