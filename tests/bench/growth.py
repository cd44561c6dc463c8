"""What more units and more readings cost."""

from tests.bench import child, peak
from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.scoring import WINDOW
from tests.bench.site import MAX_RECORDS, Site
from tests.bench.stream import BEGIN_S, STEP_S, Item, items, series
from tests.bench.units import N_WARM, Plant

FEW, MANY = 100, 100_000
N_LONG = 10_000_000
N_POLLS = 4
"""Measured at a time."""
OVERHEAD_BYTES = 300


def run(site: Site) -> list[Line]:
    """Cost a reading by the number of units, memory, cost a reading as readings go by."""
    return [_by_units(site), *_memory(site), _peak(site), _by_age(site)]


def _by_units(site: Site) -> Line:
    few, many = Plant(FEW, True), Plant(max(FEW, site.scaled(MANY)), True)
    costs = [_Polls(plant).cost_us for plant in (many, few)]
    for cost_us in costs:
        # Caches, and arrays that are touched for the first time.
        cost_us()
    ours, theirs = in_turn(site.n_repeats, *costs)
    return Line(
        name=f"growth, {len(many.names):,} units",
        unit="us/reading",
        ours=ours,
        theirs=theirs,
        against=f"{FEW} units",
        goals=(Goal("ratio", "<=", 1.5),),
    )


def _memory(site: Site) -> list[Line]:
    n_units = max(2 * N_WARM, site.scaled(MANY))
    return [_memory_line(n_units, is_smoothed) for is_smoothed in (False, True)]


def _memory_line(n_units: int, is_smoothed: bool) -> Line:
    measured = child.run("units", n_units=n_units, smoothed=int(is_smoothed))
    scores = "default scores" if is_smoothed else "max_span=1"
    return Line(
        name=f"growth, memory of {n_units:,} units, {scores}",
        unit=f"bytes/unit less {OVERHEAD_BYTES}",
        ours=[measured["bytes_per_unit"] - OVERHEAD_BYTES],
        theirs=[measured["kept_bytes"]],
        against="readings and residuals of the next score",
        goals=(Goal("ratio", "<=", 1.3),),
    )


def _peak(site: Site) -> Line:
    n_units = max(peak.N_SCORED, site.scaled(peak.N_UNITS))
    peak_bytes, kept_bytes = peak.measure(site, n_units)
    return Line(
        name=f"growth, peak with {n_units:,} units, max_span=1",
        unit="GiB",
        ours=[peak_bytes / 2**30],
        theirs=[kept_bytes / 2**30],
        against="readings and residuals of the next score",
        goals=(Goal("ours", "<=", 2.0),),
    )


def _by_age(site: Site) -> Line:
    """The same plant young and old: these cannot be measured in turn."""
    plant = Plant(FEW, True)
    polls = _Polls(plant)
    polls.cost_us()
    young = [polls.cost_us() for _ in range(site.n_repeats)]
    n_steps = MAX_RECORDS // FEW
    for _ in range(max(1, site.scaled(N_LONG) // MAX_RECORDS)):
        plant.send(0, FEW, polls.step, n_steps)
        polls.step += n_steps
    old = [polls.cost_us() for _ in range(site.n_repeats)]
    return Line(
        name=f"growth, after {site.scaled(N_LONG):,} readings",
        unit="us/reading",
        ours=old,
        theirs=young,
        against="the first readings",
        goals=(Goal("ratio", "<=", 1.1),),
    )


class _Polls:
    """Polls of `MAX_RECORDS` records of a plant's units, one after the other in time.

    Of more units than that, each poll has the next ones.
    """

    def __init__(self, plant: Plant) -> None:
        self.step = WINDOW
        self._plant = plant
        self._first = 0
        self._values = [
            item.value[item.value.index(b'"values"') :]
            for item in items(series(MAX_RECORDS // FEW, FEW))
        ]
        plant.fill(0, len(plant.names), WINDOW)

    def cost_us(self) -> float:
        """Microseconds that a reading costs, from bytes to decision, over `N_POLLS`."""
        took_s = 0.0
        for _ in range(N_POLLS):
            took_s += self._plant.take(self._plant.records(self._next()))
        return 1e6 * took_s / (N_POLLS * MAX_RECORDS)

    def _next(self) -> list[Item]:
        names = self._plant.names
        polled = []
        for number, values in enumerate(self._values):
            unit = (self._first + number) % len(names)
            time_s = BEGIN_S + STEP_S * self.step
            value = f'{{"unit":"{names[unit]}","time":{time_s},'.encode() + values
            polled.append(Item(0, names[unit].encode(), value))
            if unit == len(names) - 1:
                self.step += 1
        self._first = (self._first + len(self._values)) % len(names)
        return polled
