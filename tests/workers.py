"""A worker on an in-memory broker, with everything a test may look at."""

import numpy as np
import torch
from prometheus_client import CollectorRegistry

from pipeline.alert import Alert, AlertEncoder, DetectorPart, decode
from pipeline.decode import Decoder
from pipeline.delivery import AtLeastOnce, Delivery
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.drift.drift import Drift
from pipeline.errors import MessageTooLarge, TransportError
from pipeline.expected import ExpectedEncoder
from pipeline.health import Health
from pipeline.incident import IncidentTracker
from pipeline.metrics import WorkerMetrics
from pipeline.note import NoteCodec
from pipeline.reach import Reach
from pipeline.records import Message
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer
from pipeline.settings import DriftSettings
from pipeline.steps import Steps, n_readings_needed
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.trigger import IncidentRule
from pipeline.units import Units
from pipeline.window import SlidingWindows
from pipeline.worker import Worker
from tests import builders

WINDOW = 8
N_READINGS = 200
FAULT = slice(120, 150)


class Setup:
    """A worker on a broker of its own, with everything a test may look at."""

    def __init__(
        self,
        broker: MemoryBroker,
        detector: Detector,
        max_fraction: float = 1.0,
        max_units: int = 100,
        max_records: int = 50,
        commit_interval_s: float = 0.0,
        unit_idle_s: float = 86_400.0,
        look_for_idle_every_s: float = 60.0,
        max_note_bytes: int = 4_000,
        max_replay_records: int = 1_000_000,
        delivery: Delivery | None = None,
        expected_topic: str = "",
        drift_of: LoadedDetector | None = None,
        drift_settings: DriftSettings = DriftSettings(),  # noqa: B008 - it is frozen
    ) -> None:
        self.broker = broker
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.health = Health(max_turn_s=60.0, now_s=0.0)
        self.scorer = Scorer(detector, torch.device("cpu"), has_latents=True)
        rule = IncidentRule(2, 3, 5)
        self.worker = Worker(
            steps=Steps(
                decoder=Decoder(detector.sensors, 1_000_000, max_ahead_s=np.inf),
                units=Units(max_units),
                windows=SlidingWindows(detector.window, len(detector.sensors), unit_idle_s),
                reach=Reach(n_readings_needed(self.scorer, detector.window, rule)),
                scorer=self.scorer,
                incidents=IncidentTracker(rule),
                alerts=AlertEncoder(
                    "alerts", detector.sensors, DetectorPart("pumps", "sha256:0"), 3
                ),
                expected=ExpectedEncoder(expected_topic, detector.sensors),
            ),
            recovery=Recovery(
                NoteCodec(
                    "sha256:0",
                    len(detector.sensors),
                    3,
                    max_note_bytes,
                    self.scorer.n_latent,
                ),
                max_replay_records,
            ),
            connect=self._connect,
            delivery=delivery or AtLeastOnce(MemoryProducer(broker)),
            dead_letters_topic="readings.dead",
            limit=RejectionLimit(max_fraction, min_records=10, period_s=60.0),
            metrics=self.metrics,
            health=self.health,
            max_records=max_records,
            poll_timeout_s=0.0,
            commit_interval_s=commit_interval_s,
            look_for_idle_every_s=look_for_idle_every_s,
            drift=(
                None if drift_of is None else Drift(drift_of, self.metrics, drift_settings)
            ),
        )

    def _connect(self, listener: object) -> MemoryConsumer:
        self.consumer = MemoryConsumer(
            self.broker,
            group_id="workers",
            topic="readings",
            listener=listener,  # type: ignore[arg-type]
        )
        return self.consumer

    def read_all(self) -> None:
        while self.worker.run_once() is not None:
            pass

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def alerts(self) -> list[Alert]:
        return [decode(r.value or b"") for r in self.broker.records("alerts")]


def messages(unit: str, values_NF: np.ndarray) -> list[Message]:
    return [
        Message(
            topic="readings",
            key=unit.encode(),
            value=builders.reading_json(
                unit, 1e9 + i, dict(zip(builders.SENSORS, row, strict=True))
            ),
        )
        for i, row in enumerate(values_NF.tolist())
    ]


def faulty_series() -> np.ndarray:
    values_NF = builders.sensor_series(N_READINGS).copy()
    values_NF[FAULT, 1] += 100.0
    return values_NF


def raising(error: MessageTooLarge | TransportError) -> object:
    def call(*args: object) -> None:
        raise error

    return call
