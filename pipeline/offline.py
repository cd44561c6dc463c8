"""`pipeline score`: a file through the worker's own steps, on the in-memory transport."""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.delivery import AtLeastOnce
from pipeline.detector.artifact import LoadedDetector, load
from pipeline.errors import InputError
from pipeline.files import written_whole
from pipeline.health import Health
from pipeline.metrics import WorkerMetrics
from pipeline.reading import messages
from pipeline.records import BoolArray, FloatArray
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer, choose_device
from pipeline.settings import DecodeSettings
from pipeline.steps import Steps, build_steps, calibrated_rule
from pipeline.table import Table, read_table
from pipeline.times import END_OF_CALENDAR_S, iso_time
from pipeline.transport.base import Consumer, Producer, RebalanceListener
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.turn import Turn
from pipeline.window import UNIT_IDLE_S
from pipeline.worker import Worker

CHUNK_ROWS = 10_000
"""Rows that are records in memory at a time; one chunk is one poll."""
ALERTS, DEAD_LETTERS = "alerts", "readings.dead"
FILE_LIMITS = DecodeSettings(max_record_bytes=2**30, max_ahead_s=END_OF_CALENDAR_S)
"""What is taken for a reading: whatever a file holds."""
EMPTY = ""


class ScoredRows(NamedTuple):
    """Consecutive rows of a table, as the worker's steps saw them."""

    begin: int
    """The first row's number in the table."""
    score_N: FloatArray
    """1.0 is the threshold; NaN where there is no score: until a unit's first window is
    full, at first or after `UNIT_IDLE_S`, and for a row older than one of its unit before
    it."""
    is_anomalous_N: BoolArray
    """Whether the row's unit is in an incident; False without a score."""
    contribution_NF: FloatArray
    """Each sensor's share of the error; NaN without a score."""


def score_file(detector: Path, data: Path, out: Path, device: str) -> None:
    """Write each row's score to `out`, a CSV in the order of `data`.

    Columns: `time`, `unit`, `score` (empty where there is none: until a unit's first window
    is full, at first or after `UNIT_IDLE_S`, and for a row older than one before it),
    `is_anomalous` (1 while the unit is in an incident) and `contribution_<sensor>`.

    Raises:
        InputError: a file cannot be read or written, or the detector's sensors are not
            those of the table.
    """
    loaded = load(detector)
    scorer = Scorer(loaded.detector, choose_device(device))
    table = read_table(data)
    check_sensors(loaded, table, data)
    with written_whole(out, "the scores") as file:
        writer = csv.writer(file, lineterminator="\n")
        shares = (f"contribution_{sensor}" for sensor in loaded.detector.sensors)
        writer.writerow(["time", "unit", "score", "is_anomalous", *shares])
        for rows in scored_rows(loaded, scorer, table):
            writer.writerows(_lines(rows, table))


def check_sensors(loaded: LoadedDetector, table: Table, data: Path) -> None:
    """Refuse a table that lacks a sensor of the detector.

    Raises:
        InputError: naming the sensors.
    """
    missing = [s for s in loaded.detector.sensors if s not in table.sensors]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise InputError(
            f"{data}: of the detector's {len(loaded.detector.sensors)} sensors "
            f"{missing[:10]}{more} are missing, found {list(table.sensors)[:10]}"
        )


def scored_rows(
    loaded: LoadedDetector, scorer: Scorer, table: Table
) -> Iterator[ScoredRows]:
    """Put a table through the worker's own steps, in the order of the file.

    Args:
        loaded: the detector.
        scorer: the same detector's, on its device. What it remembers is forgotten.
        table: with all of the detector's sensors, see `check_sensors`.
    """
    broker = MemoryBroker()
    scorer.forget_all()
    worker = _worker(loaded, scorer, broker)
    n_sensors = len(loaded.detector.sensors)
    for begin in range(0, len(table), CHUNK_ROWS):
        end = min(begin + CHUNK_ROWS, len(table))
        broker.append(messages(table, "readings", begin, end))
        while (turn := worker.run_once()) is not None:
            yield _scored(turn, begin, n_sensors)
            begin += len(turn.records.records)
        for topic in ("readings", ALERTS, DEAD_LETTERS):
            broker.truncate(topic)
    worker.close(0.0)


def _scored(turn: Turn, begin: int, n_sensors: int) -> ScoredRows:
    n_rows = len(turn.records.records)
    score_N = np.full(n_rows, np.nan, dtype=np.float32)
    is_anomalous_N = np.zeros(n_rows, dtype=np.bool_)
    contribution_NF = np.full((n_rows, n_sensors), np.nan, dtype=np.float32)
    for stretch in turn.stretches:
        # Each record holds one reading here.
        row_B = turn.readings.record_N[stretch.windows.reading_B]
        score_N[row_B] = stretch.scores.score_B
        is_anomalous_N[row_B] = stretch.decisions.is_open_B
        contribution_NF[row_B] = stretch.scores.contribution_BF
    return ScoredRows(begin, score_N, is_anomalous_N, contribution_NF)


def offline_worker(
    steps: Steps, connect: Callable[[RebalanceListener], Consumer], producer: Producer
) -> Worker:
    """A worker that nobody watches, which goes on whatever it reads.

    Args:
        steps: of the detector. Dead letters and alerts go to `producer`.
        connect: makes the consumer. One turn is what one poll of it returns.
        producer: is sent both.
    """
    return Worker(
        steps=steps,
        recovery=Recovery(max_records=0),
        connect=connect,
        delivery=AtLeastOnce(producer),
        dead_letters_topic=DEAD_LETTERS,
        limit=RejectionLimit(max_fraction=1.0, min_records=1, period_s=1.0),
        metrics=WorkerMetrics(),
        health=Health(max_turn_s=float("inf"), now_s=0.0),
        max_records=CHUNK_ROWS,
        poll_timeout_s=0.0,
        commit_interval_s=0.0,
        look_for_idle_every_s=float("inf"),
    )


def _worker(loaded: LoadedDetector, scorer: Scorer, broker: MemoryBroker) -> Worker:
    return offline_worker(
        build_steps(
            loaded,
            scorer,
            calibrated_rule(loaded),
            FILE_LIMITS,
            max_units=2**31,
            unit_idle_s=UNIT_IDLE_S,
            alerts_topic=ALERTS,
            max_sensors=1,
        ),
        lambda listener: MemoryConsumer(
            broker, group_id="score", topic="readings", listener=listener
        ),
        MemoryProducer(broker),
    )


def _lines(rows: ScoredRows, table: Table) -> Iterator[list[object]]:
    """One line of the CSV for each row."""
    for index, (score, is_anomalous, share_F) in enumerate(
        zip(
            rows.score_N.tolist(),
            rows.is_anomalous_N.tolist(),
            rows.contribution_NF.tolist(),
            strict=True,
        )
    ):
        row = rows.begin + index
        unit = table.units[table.unit_N[row]]
        shares = [_text(share, ".4g") for share in share_F]
        time = iso_time(table.time_s_N[row])
        yield [time, unit, _text(score, ".6g"), int(is_anomalous), *shares]


def _text(value: float, digits: str) -> str:
    return EMPTY if math.isnan(value) else format(value, digits)
