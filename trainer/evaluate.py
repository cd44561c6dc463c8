"""How good a detector is on labelled readings, beside methods that know next to nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.detector.artifact import LoadedDetector
from pipeline.errors import InputError
from pipeline.offline import check_sensors, scored_rows
from pipeline.records import BoolArray, FloatArray, IntArray, TimeArray
from pipeline.score import Scorer
from pipeline.table import Table
from trainer.baselines import LEARNED, NOMINAL_FAR, LearnedBaseline, learn
from trainer.history import Recording, shortened
from trainer.quality import Quality, QualityTally
from trainer.ranking import Score, runs, vus_window

DETECTOR = "detector"
BASELINES = ("random", "constant", "always_alert", *LEARNED)
METHODS = (DETECTOR, *BASELINES)
RANDOM_SEED = 0


class Verdicts(NamedTuple):
    """What one method says of one unit's rows."""

    score_N: Score
    """Larger is more anomalous; 0 where there is none."""
    is_alert_N: BoolArray


@dataclass(frozen=True, slots=True)
class UnitRows:
    """One unit's rows, in the order of the file, and what each method says of them."""

    unit: str
    time_s_N: TimeArray
    label_N: BoolArray
    is_scored_N: BoolArray
    """Whether the detector gives a score; see `ScoredRows`."""
    period: int
    """The widest tolerance of its `vus_pr`, from the table's first sensor."""
    verdicts: dict[str, Verdicts]
    """Of each of `METHODS`."""


@dataclass(frozen=True, slots=True)
class UnitQuality:
    """The detector on one unit."""

    unit: str
    n_rows: int
    n_unscored: int
    n_events: int
    n_labelled: int
    vus_pr: float
    """NaN without labels, as is the next."""
    average_precision: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that is printed and shown."""

    loaded: LoadedDetector
    source: str
    """The table's file name."""
    by_method: dict[str, Quality]
    """Of each of `METHODS`, in their order."""
    units: list[UnitQuality]
    """In the table's order."""
    rows: list[UnitRows]
    """Of the same units."""
    notes: list[str]
    """What of the table was left out or taken as missing, in words."""

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return sum(unit.n_rows for unit in self.units)

    @property
    def n_unscored(self) -> int:
        """Rows without a score: a unit's first window was not full, or they came late."""
        return sum(unit.n_unscored for unit in self.units)

    @property
    def promised_per_day(self) -> float:
        """False alarms per unit and day that the detector expects."""
        return self.loaded.manifest.threshold.expected_false_alarms_per_unit_day


def evaluate(
    path: Path,
    table: Table,
    loaded: LoadedDetector,
    scorer: Scorer,
    reference_BTF: FloatArray,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Evaluation:
    """Measure a detector on a table, and the baselines on the same rows.

    Args:
        path: the table's file, for messages.
        table: readings with labels.
        loaded: the detector.
        scorer: the same detector's, on its device.
        reference_BTF: scaled normal windows, for the baselines.
        on_progress: told the share of rows that are scored, 0 to 1.

    Raises:
        InputError: there is no label, or a sensor of the detector is missing.
    """
    rows = list(_rows(path, table, loaded, scorer, reference_BTF, on_progress))
    tallies = {method: QualityTally() for method in METHODS}
    for unit in rows:
        for method, tally in tallies.items():
            score_N, is_alert_N = unit.verdicts[method]
            tally.add(unit.label_N, score_N, is_alert_N, unit.time_s_N, unit.period)
    units = [
        UnitQuality(
            unit=unit.unit,
            n_rows=len(unit.label_N),
            n_unscored=int((~unit.is_scored_N).sum()),
            n_events=len(runs(unit.label_N)),
            n_labelled=int(unit.label_N.sum()),
            vus_pr=volume,
            average_precision=precision,
        )
        for unit, (volume, precision) in zip(rows, tallies[DETECTOR].rankings, strict=True)
    ]
    by_method = {method: tally.quality() for method, tally in tallies.items()}
    return Evaluation(loaded, path.name, by_method, units, rows, shortened(table.notes))


def _rows(
    path: Path,
    table: Table,
    loaded: LoadedDetector,
    scorer: Scorer,
    reference_BTF: FloatArray,
    on_progress: Callable[[float], None],
) -> Iterator[UnitRows]:
    if table.label_N is None:
        raise InputError(
            f"{path}: expected a column 'label' (1 where readings are anomalous, else 0) "
            "to measure against; `trainer report` needs none"
        )
    check_sensors(loaded, table, path)
    score_N = np.empty(len(table))
    is_anomalous_N = np.empty(len(table), dtype=np.bool_)
    for piece in scored_rows(loaded, scorer, table):
        end = piece.begin + len(piece.score_N)
        score_N[piece.begin : end] = piece.score_N
        is_anomalous_N[piece.begin : end] = piece.is_anomalous_N
        on_progress(end / len(table))
    scaling = loaded.detector.scaling
    learned = {name: learn(name, reference_BTF) for name in LEARNED}
    random = np.random.default_rng(RANDOM_SEED)
    recording = Recording(table, loaded.detector.sensors)
    for number, row_N in enumerate(_rows_by_unit(table)):
        is_scored_N = ~np.isnan(score_N[row_N])
        detector = Verdicts(np.nan_to_num(score_N[row_N]), is_anomalous_N[row_N])
        readings = recording.unit(number)
        x_NF = scaling.scaled(readings.values_NF, scaling.line(readings.unit))
        yield UnitRows(
            unit=table.units[number],
            time_s_N=table.time_s_N[row_N],
            label_N=table.label_N[row_N],
            is_scored_N=is_scored_N,
            period=vus_window(table.values_NF[row_N, 0]),
            verdicts={
                DETECTOR: detector,
                **_of_no_readings(len(row_N), random),
                **{
                    name: _of_readings(baseline, x_NF, is_scored_N)
                    for name, baseline in learned.items()
                },
            },
        )


def _rows_by_unit(table: Table) -> list[IntArray]:
    by_unit_N = np.argsort(table.unit_N, kind="stable")
    n_of_unit = np.bincount(table.unit_N, minlength=len(table.units))
    return np.split(by_unit_N, np.cumsum(n_of_unit)[:-1])


def _of_no_readings(n_rows: int, random: np.random.Generator) -> dict[str, Verdicts]:
    uniform_N = random.random(n_rows)
    never_N = np.zeros(n_rows, dtype=np.bool_)
    return {
        "random": Verdicts(uniform_N, uniform_N >= 1.0 - NOMINAL_FAR),
        "constant": Verdicts(np.zeros(n_rows), never_N),
        "always_alert": Verdicts(np.ones(n_rows), ~never_N),
    }


def _of_readings(
    baseline: LearnedBaseline, x_NF: FloatArray, is_scored_N: BoolArray
) -> Verdicts:
    """A baseline on the rows that the detector scores: the newest of its windows."""
    score_N = np.zeros(len(is_scored_N))
    n_scored = int(is_scored_N.sum())
    if n_scored:
        score_N[is_scored_N] = baseline.score(x_NF)[-n_scored:]
    return Verdicts(score_N, score_N >= 1.0)
