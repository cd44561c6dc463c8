"""`pipeline run`: builds the worker from its settings and keeps it going."""

import platform
from importlib.metadata import version

import structlog
import torch
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from pipeline import decode
from pipeline.alert import AlertEncoder, DetectorPart
from pipeline.decode import Decoder
from pipeline.detector.artifact import LoadedDetector, load
from pipeline.health import Health, HealthServer
from pipeline.incident import IncidentTracker
from pipeline.logs import ignore_client_errors
from pipeline.metrics import WorkerMetrics
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer, choose_device
from pipeline.settings import DecodeSettings, Settings
from pipeline.signals import StopSignals
from pipeline.transport.kafka_python import KafkaPythonConsumer, KafkaPythonProducer
from pipeline.trigger import IncidentRule
from pipeline.units import TOO_MANY_UNITS, Units
from pipeline.window import SlidingWindows
from pipeline.worker import Steps, Worker

log = structlog.get_logger()

LEAVE_TIMEOUT_S = 5.0
"""For leaving the group and closing connections, within the 10 s of a stop."""


def build_steps(
    loaded: LoadedDetector,
    scorer: Scorer,
    rule: IncidentRule,
    decode_settings: DecodeSettings,
    max_units: int,
    alerts_topic: str,
    max_sensors: int,
) -> Steps:
    """The steps of one detector, for live readings and for a file alike."""
    detector, manifest = loaded.detector, loaded.manifest
    return Steps(
        decoder=Decoder(
            detector.sensors,
            max_record_bytes=decode_settings.max_record_bytes,
            max_ahead_s=decode_settings.max_ahead_s,
        ),
        units=Units(max_units),
        windows=SlidingWindows(detector.window, len(detector.sensors)),
        scorer=scorer,
        incidents=IncidentTracker(rule),
        alerts=AlertEncoder(
            alerts_topic,
            detector.sensors,
            DetectorPart(manifest.name, loaded.digest),
            max_sensors,
        ),
    )


def calibrated_rule(loaded: LoadedDetector) -> IncidentRule:
    """The rule that the detector's threshold was calibrated with."""
    incident = loaded.manifest.incident
    return IncidentRule(*incident.trigger, incident.recovery)


def run(settings: Settings, signals: StopSignals) -> None:
    """Work until a signal asks to stop, then finish the batch in hand and leave.

    Raises:
        InputError: a setting cannot be used, or the detector must not be.
        StreamUnreadable: too large a share of the records cannot be read.
        TransportError: Kafka refused, or did not answer in time.
    """
    torch.set_num_threads(settings.threads)
    loaded = load(settings.detector)
    scorer = Scorer(loaded.detector, choose_device(settings.device))
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    _declare(metrics, loaded)
    health = Health(settings.http.max_turn_s)
    health.detector_verified()
    with HealthServer(settings.http.host, settings.http.port, registry, health) as server:
        log.info(
            "worker_started",
            detector=loaded.manifest.name,
            digest=loaded.digest,
            model=loaded.manifest.model.family,
            device=scorer.device_type,
            http_port=server.port,
            readings_topic=settings.kafka.readings_topic,
            group_id=settings.kafka.group_id,
        )
        _work(settings, loaded, scorer, metrics, health, signals)
    n_readings = registry.get_sample_value("pipeline_readings_total") or 0.0
    log.info("worker_stopped", n_readings=int(n_readings))


def _work(
    settings: Settings,
    loaded: LoadedDetector,
    scorer: Scorer,
    metrics: WorkerMetrics,
    health: Health,
    signals: StopSignals,
) -> None:
    kafka = settings.kafka
    producer = KafkaPythonProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        connect_timeout_s=kafka.connect_timeout_s,
        delivery_timeout_s=kafka.send_timeout_s,
    )
    try:
        worker = Worker(
            steps=build_steps(
                loaded,
                scorer,
                settings.incident.rule(calibrated_rule(loaded)),
                settings.decode,
                settings.max_units,
                kafka.alerts_topic,
                settings.alert.max_sensors,
            ),
            connect=lambda listener: KafkaPythonConsumer(
                bootstrap_servers=kafka.bootstrap_servers,
                group_id=kafka.group_id,
                topic=kafka.readings_topic,
                listener=listener,
                group_instance_id=kafka.group_instance_id,
                session_timeout_s=kafka.session_timeout_s,
                max_poll_interval_s=kafka.max_poll_interval_s,
                connect_timeout_s=kafka.connect_timeout_s,
            ),
            producer=producer,
            dead_letters_topic=kafka.dead_letters_topic,
            limit=RejectionLimit(
                settings.rejects.max_fraction,
                settings.rejects.min_records,
                settings.rejects.period_s,
            ),
            metrics=metrics,
            health=health,
            max_records=settings.poll.max_records,
            poll_timeout_s=settings.poll.timeout_s,
        )
        try:
            with signals.work_to_finish() as stop:
                worker.run(stop)
                log.info("stopping")
        finally:
            ignore_client_errors()
            worker.close(LEAVE_TIMEOUT_S)
    finally:
        producer.close(LEAVE_TIMEOUT_S)


def _declare(metrics: WorkerMetrics, loaded: LoadedDetector) -> None:
    metrics.declare_labels(
        reasons=(*decode.REASONS, TOO_MANY_UNITS),
        states=("opened", "updated", "closed"),
    )
    metrics.detector_info.labels(
        loaded.manifest.name, loaded.digest, loaded.manifest.model.family
    ).set(1)
    metrics.build_info.labels(
        version("sensor-anomaly-pipeline"), platform.python_version(), torch.__version__
    ).set(1)
