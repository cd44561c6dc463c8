"""`pipeline run` against Quix Streams and Bytewax doing the same job with the same network.

The worker goes through the topic once more than they: their rates are steady, so a prefix
of the topic is enough to know them.
"""

from tests.bench import child
from tests.bench.protocol import Goal, Line, in_turn, need
from tests.bench.site import AE, Site
from tests.bench.stream import N_UNITS
from tests.bench.throughput import N_READINGS

N_PREFIX = {"reading": 10_000, "batch": 40_000}
STYLES = {"reading": "one torch call a reading", "batch": "batches where it allows"}


def run_quix(site: Site) -> list[Line]:
    """Against Quix Streams."""
    need("quixstreams")
    return _lines(site, "quix", "Quix Streams")


def run_bytewax(site: Site) -> list[Line]:
    """Against Bytewax."""
    need("bytewax")
    return _lines(site, "bytewax", "Bytewax")


def _lines(site: Site, name: str, framework: str) -> list[Line]:
    n_readings = site.scaled(N_READINGS, N_UNITS)
    topic = site.topic(n_readings)
    detector = site.detector(AE)

    def theirs(style: str) -> float:
        result = child.run(
            f"{name}_app",
            servers=site.servers,
            topic=topic,
            detector=detector,
            n_readings=min(n_readings // 2, site.scaled(N_PREFIX[style])),
            style=style,
        )
        return float(result["readings_per_s"])

    ours, by_reading, by_batch = in_turn(
        site.n_repeats,
        lambda: site.worker(AE, topic, n_readings).readings_per_s,
        lambda: theirs("reading"),
        lambda: theirs("batch"),
    )
    goals = (Goal("ratio", ">=", 15.0),)
    return [
        Line(f"{name}, {STYLES[style]}", "readings/s", ours, figures, framework, goals)
        for style, figures in (("reading", by_reading), ("batch", by_batch))
    ]
