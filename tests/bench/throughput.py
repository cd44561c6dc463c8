"""`pipeline run` against the bare client's poll loop, on the same topic."""

from statistics import median

from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.site import AE, ENSEMBLE, Site
from tests.bench.stream import N_UNITS
from tests.bench.worker import Run

N_READINGS = 400_000
BARE = "bare kafka-python poll"


def run(site: Site) -> list[Line]:
    """Of a dense autoencoder 256-64-16-64-256, every reading scored."""
    goals = (Goal("ratio", ">=", 0.70),)
    return [_line(site, "throughput", AE, goals)]


def run_ensemble(site: Site) -> list[Line]:
    """Of the default ensemble."""
    goals = (Goal("ours", ">=", 60_000), Goal("ratio", ">=", 0.45))
    return [_line(site, "ensemble", ENSEMBLE, goals)]


def _line(site: Site, name: str, model: str, goals: tuple[Goal, ...]) -> Line:
    n_readings = site.scaled(N_READINGS, N_UNITS)
    topic = site.topic(n_readings)
    site.detector(model)
    runs: list[Run] = []

    def ours() -> float:
        runs.append(site.worker(model, topic, n_readings))
        return runs[-1].readings_per_s

    figures, bare = in_turn(
        site.n_repeats, ours, lambda: site.bare("kafka-python", topic, n_readings)
    )
    return Line(name, "readings/s", figures, bare, BARE, goals, mean_shares(runs))


def mean_shares(runs: list[Run]) -> dict[str, float]:
    """Each step's share of the time, the median of the runs."""
    steps = runs[0].step_shares
    return {step: median(run.step_shares.get(step, 0.0) for run in runs) for step in steps}
