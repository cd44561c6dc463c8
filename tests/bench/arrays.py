"""Records that hold an array of 50 readings, against one reading a record."""

from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.site import AE, Site
from tests.bench.stream import N_UNITS
from tests.bench.throughput import mean_shares
from tests.bench.worker import Run

N_PER_RECORD = 50
N_IN_ARRAYS = 400_000
N_ALONE = 200_000


def run(site: Site) -> list[Line]:
    """One worker after the other, each on a topic of its own."""
    n_arrays = site.scaled(N_IN_ARRAYS, N_UNITS * N_PER_RECORD)
    n_alone = site.scaled(N_ALONE, N_UNITS)
    arrays = site.topic(n_arrays, N_PER_RECORD)
    alone = site.topic(n_alone)
    site.detector(AE)
    runs: list[Run] = []

    def ours() -> float:
        runs.append(site.worker(AE, arrays, n_arrays))
        return runs[-1].readings_per_s

    figures, one_by_one = in_turn(
        site.n_repeats,
        ours,
        lambda: site.worker(AE, alone, n_alone).readings_per_s,
    )
    return [
        Line(
            name=f"arrays of {N_PER_RECORD}",
            unit="readings/s",
            ours=figures,
            theirs=one_by_one,
            against="one reading a record",
            goals=(Goal("ratio", ">=", 4.0),),
            detail=mean_shares(runs),
        )
    ]
