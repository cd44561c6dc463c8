"""What one worker tells that reads the topic alone and undisturbed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.delivery import AtLeastOnce
from pipeline.detector.artifact import load
from pipeline.health import Health
from pipeline.metrics import WorkerMetrics
from pipeline.records import Record
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer
from pipeline.settings import DecodeSettings
from pipeline.steps import build_steps, calibrated_rule
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.transport.memory_broker import MemoryRecord
from pipeline.window import UNIT_IDLE_S
from pipeline.worker import Worker

ALERTS, DEAD_LETTERS = "alerts", "readings.dead"


@dataclass(frozen=True, slots=True)
class Told:
    """What is in the two topics that a worker writes to."""

    alerts: list[bytes]
    dead_letters: list[tuple[bytes | None, int, int]]
    """Value, partition and offset of the record that was refused."""

    @staticmethod
    def of(alerts: Iterable[Record], dead_letters: Iterable[Record]) -> "Told":
        """As they stand in the topics, repeats among them."""
        dead = []
        for record in dead_letters:
            headers = dict(record.headers)
            partition = int(headers["dead-letter-partition"] or b"")
            offset = int(headers["dead-letter-offset"] or b"")
            dead.append((record.value, partition, offset))
        return Told([record.value or b"" for record in alerts], dead)


def undisturbed(detector: Path, readings: Iterable[Record], n_partitions: int) -> Told:
    """What is told of these records, each at its own place in a topic `readings`."""
    broker = MemoryBroker(n_partitions=n_partitions)
    logs = broker.logs("readings")
    for record in readings:
        log = logs[record.partition]
        assert log.end == record.offset, "the topic has a gap"
        log.records.append(
            MemoryRecord(
                record.topic,
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                record.headers,
            )
        )
    loaded = load(detector)
    torch.set_num_threads(1)
    worker = Worker(
        steps=build_steps(
            loaded,
            Scorer(loaded.detector, torch.device("cpu")),
            calibrated_rule(loaded),
            DecodeSettings(),
            max_units=100_000,
            unit_idle_s=UNIT_IDLE_S,
            alerts_topic=ALERTS,
            max_sensors=5,
        ),
        recovery=Recovery(max_records=0),
        connect=lambda listener: MemoryConsumer(
            broker, group_id="oracle", topic="readings", listener=listener
        ),
        delivery=AtLeastOnce(MemoryProducer(broker)),
        dead_letters_topic=DEAD_LETTERS,
        limit=RejectionLimit(max_fraction=1.0, min_records=1, period_s=1.0),
        metrics=WorkerMetrics(),
        health=Health(max_turn_s=float("inf"), now_s=0.0),
        max_records=1_000,
        poll_timeout_s=0.0,
        commit_interval_s=3_600.0,
        look_for_idle_every_s=float("inf"),
    )
    while worker.run_once() is not None:
        pass
    return Told.of(broker.records(ALERTS), broker.records(DEAD_LETTERS))
