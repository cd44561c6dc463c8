"""A worker on an in-memory broker, with everything a test may look at."""

import numpy as np
import torch
from prometheus_client import CollectorRegistry

from pipeline.alert import Alert, decode
from pipeline.delivery import AtLeastOnce, Delivery
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.detector import Detector
from pipeline.errors import DetectorError, MessageTooLarge, TransportError
from pipeline.health import Health
from pipeline.metrics import WorkerMetrics
from pipeline.records import Message
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer
from pipeline.settings import DecodeSettings, DriftSettings
from pipeline.shadow import Shadow
from pipeline.steps import Steps, build_steps
from pipeline.times import END_OF_CALENDAR_S
from pipeline.transport.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from pipeline.trigger import IncidentRule
from pipeline.watch import AsBefore, DetectorWatch, Refused
from pipeline.worker import Worker
from tests import builders

WINDOW = 8
N_READINGS = 200
FAULT = slice(120, 150)


def described(detector: Detector, digest: str = "sha256:0") -> LoadedDetector:
    """This detector as if it had been loaded, under a digest of its own."""
    return LoadedDetector(detector, builders.manifest(detector), digest)


class Given(DetectorWatch[Steps]):
    """Finds in a folder what a test has put there."""

    def __init__(self) -> None:
        self.found: Steps | Refused | AsBefore | None = None
        self.declined_for: str | None = None

    def first(self, now_s: float) -> Steps:
        found = self.look(now_s)
        if isinstance(found, Refused):
            raise DetectorError(found.reason)
        assert isinstance(found, Steps)
        return found

    def decline(self, digest: str) -> None:
        self.declined_for = digest

    def look(self, now_s: float) -> Steps | Refused | AsBefore | None:
        found, self.found = self.found, None
        return found


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
        drift: DriftSettings | None = None,
        loaded: LoadedDetector | None = None,
        shadow: LoadedDetector | Refused | None = None,
        max_ahead_s: float = END_OF_CALENDAR_S,
    ) -> None:
        self.broker = broker
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)
        self.health = Health(max_turn_s=60.0, now_s=0.0)
        self.max_units = max_units
        self._unit_idle_s = unit_idle_s
        self._expected_topic = expected_topic
        self._max_note_bytes = max_note_bytes
        self._decode = DecodeSettings(max_record_bytes=1_000_000, max_ahead_s=max_ahead_s)
        self.watch, self.shadow_watch = Given(), Given()
        steps = self.steps_of(loaded or described(detector))
        self.scorer = steps.scorer
        self.worker = Worker(
            steps=steps,
            recovery=Recovery(max_replay_records),
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
            drift=drift,
            watch=self.watch,
            shadow=None if shadow is None else self._shadow(shadow),
        )

    def steps_of(self, loaded: LoadedDetector) -> Steps:
        """The steps of a detector, as this worker is set up."""
        return build_steps(
            loaded,
            Scorer(loaded.detector, torch.device("cpu"), has_latents=True),
            IncidentRule(2, 3, 5),
            self._decode,
            self.max_units,
            self._unit_idle_s,
            "alerts",
            3,
            self._expected_topic,
            self._max_note_bytes,
        )

    def _shadow(self, given: LoadedDetector | Refused) -> Shadow:
        if isinstance(given, Refused):
            self.shadow_watch.found = given
        else:
            self.shadow_watch.found = self.steps_of(given)
        return Shadow(self.shadow_watch, now_s=0.0)

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

    def metric(self, name: str, /, **labels: str) -> float | None:
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
