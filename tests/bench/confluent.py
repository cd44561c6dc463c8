"""The worker on confluent-kafka, against that client's bare `consume` and against the
worker on kafka-python."""

from typing import get_args

from pipeline.settings import KafkaSettings
from tests.bench.protocol import Goal, Line, Unavailable, in_turn, need
from tests.bench.site import AE, Site
from tests.bench.stream import N_UNITS
from tests.bench.throughput import mean_shares
from tests.bench.worker import Run

CLIENT = "confluent"
N_READINGS = 600_000
"""More than a bare client fetches ahead before its first record is taken."""


def run(site: Site) -> list[Line]:
    """Two lines of the same runs.

    Raises:
        Unavailable: the setting does not take this client, or it is not installed.
    """
    if CLIENT not in get_args(KafkaSettings.model_fields["client"].annotation):
        raise Unavailable(f"PIPELINE_KAFKA__CLIENT does not take {CLIENT!r}")
    need("confluent_kafka")
    n_readings = site.scaled(N_READINGS, N_UNITS)
    topic = site.topic(n_readings)
    site.detector(AE)
    runs: list[Run] = []

    def ours() -> float:
        override = {"PIPELINE_KAFKA__CLIENT": CLIENT}
        runs.append(site.worker(AE, topic, n_readings, **override))
        return runs[-1].readings_per_s

    fast, bare, usual = in_turn(
        site.n_repeats,
        ours,
        lambda: site.bare(CLIENT, topic, n_readings),
        lambda: site.worker(AE, topic, n_readings).readings_per_s,
    )
    shares = mean_shares(runs)
    return [
        Line(
            name="confluent, bare",
            unit="readings/s",
            ours=fast,
            theirs=bare,
            against="bare confluent-kafka consume",
            goals=(Goal("ratio", ">=", 0.40),),
            detail=shares,
        ),
        Line(
            name="confluent, worker",
            unit="readings/s",
            ours=fast,
            theirs=usual,
            against="worker on kafka-python",
            goals=(Goal("ours", ">=", 150_000), Goal("ratio", ">=", 2.0)),
            detail=shares,
        ),
    ]
