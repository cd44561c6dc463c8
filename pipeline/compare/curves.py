"""Scores of a few units over time, thinned out, from a second reading of the records."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.compare.side import Scored, Side
from pipeline.compare.source import Batch, Source
from pipeline.pages.envelope import Envelope, EnvelopeBuilder
from pipeline.records import IntArray, Records, behind

N_BINS = 420
"""Points of a curve."""


@dataclass(frozen=True, slots=True)
class UnitCurves:
    """One unit's scores by both detectors."""

    unit: str
    first_s: float
    last_s: float
    """What the picture shows, seconds since the epoch."""
    a: Envelope
    b: Envelope


def unit_curves(
    units: Sequence[str],
    first_s: float,
    last_s: float,
    sides: tuple[Side, Side],
    source: Source,
    on_progress: Callable[[float], None],
) -> list[UnitCurves]:
    """Score these units again, and keep what a picture needs.

    Args:
        units: a few.
        first_s, last_s: the time to show.
        sides: both detectors, through which nothing has gone yet.
        source: of the records.
        on_progress: told the share that is done, 0 to 1.
    """
    number_of = {unit: number for number, unit in enumerate(units)}
    builders = [_Builders(number_of, first_s, last_s) for _ in sides]
    for batch in _of_units(source, units):
        for side, curves in zip(sides, builders, strict=True):
            for scored in side.take(batch.records):
                if not batch.is_warm_up:
                    curves.add(scored)
        on_progress(batch.done)
    a, b = ([each.envelope() for each in curves.of_unit] for curves in builders)
    return [
        UnitCurves(unit, first_s, last_s, a[number], b[number])
        for unit, number in number_of.items()
    ]


class _Builders:
    """Owns one detector's curve of each unit."""

    def __init__(self, number_of: dict[str, int], first_s: float, last_s: float) -> None:
        self._number_of = number_of
        self._number_U: IntArray = np.empty(0, dtype=np.int64)
        # A curve is broken by silence of a bin or so; how often units send is not known.
        self.of_unit = [
            EnvelopeBuilder(first_s, last_s, N_BINS, 1, step_s=0.0) for _ in number_of
        ]

    def add(self, scored: Scored) -> None:
        new = [
            self._number_of.get(unit, -1) for unit in scored.units[len(self._number_U) :]
        ]
        self._number_U = np.concatenate([self._number_U, np.array(new, dtype=np.int64)])
        number_S = self._number_U[scored.row_S]
        for number, builder in enumerate(self.of_unit):
            at = np.flatnonzero(number_S == number)
            builder.add(scored.time_s_S[at], scored.score_S[at, None])


def _of_units(source: Source, units: Sequence[str]) -> Iterator[Batch]:
    """The source's batches, less records that are of none of these units for sure.

    That is seen without decoding them where JSON has one way to write a unit's name.
    """
    if not all(unit.isascii() and unit.isprintable() for unit in units) or any(
        character in unit for unit in units for character in '"\\/'
    ):
        yield from source.batches()
        return
    names = [unit.encode() for unit in units]
    for batch in source.batches():
        records = [
            record
            for record in batch.records.records
            if any(name in (record.value or b"") for name in names)
        ]
        yield batch._replace(records=Records(records, behind(records)))
