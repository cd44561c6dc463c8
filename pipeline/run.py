"""`pipeline run`: builds the worker from its settings and keeps it going."""

import platform
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib.metadata import version
from uuid import uuid4

import structlog
import torch
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

from pipeline import decode
from pipeline.delivery import AtLeastOnce, Delivery
from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.steady import is_steady
from pipeline.errors import InputError
from pipeline.health import Health, HealthServer
from pipeline.idle import LOOK_FOR_IDLE_EVERY_S
from pipeline.logs import ignore_client_errors, show_client_errors, tell_left_out
from pipeline.metrics import WorkerMetrics
from pipeline.recovery import Recovery
from pipeline.rejection import RejectionLimit
from pipeline.score import Scorer, choose_device
from pipeline.secured import secured
from pipeline.settings import Settings, TracesSettings
from pipeline.settings_kafka import EXACTLY_ONCE, KafkaSettings
from pipeline.shadow import Shadow
from pipeline.signals import StopSignals
from pipeline.spans import NoSpans, Spans
from pipeline.state_size import bytes_per_unit, n_affordable
from pipeline.steps import Steps, build_steps, calibrated_rule
from pipeline.transport.base import Producer
from pipeline.transport.choose import Clients, clients
from pipeline.units import TOO_MANY_UNITS
from pipeline.watch import DetectorWatch
from pipeline.worker import Worker

log = structlog.get_logger()

LEAVE_TIMEOUT_S = 1.3
"""For the last commit, for leaving the group, and for closing the producer."""


def run(
    settings: Settings,
    signals: StopSignals,
    on_listening: Callable[[int], None] = lambda port: None,
) -> None:
    """Work until a signal asks to stop, then finish the batch in hand and leave.

    Args:
        settings: what to work on.
        signals: when to stop.
        on_listening: told the port of the three pages.

    Raises:
        InputError: a setting cannot be used, or the detector must not be.
        StreamUnreadable: too large a share of the records cannot be read.
        TransportError: Kafka refused, or did not answer in time.
    """
    is_exactly_once = settings.kafka.delivery == EXACTLY_ONCE
    client = secured(clients(settings.kafka.client), settings.kafka, is_exactly_once)
    torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    build = partial(_steps, settings, device)
    watch = DetectorWatch(settings.detector, build, settings.reload_every_s)
    steps = watch.first(time.monotonic())
    shadow = None
    if settings.shadow is not None:
        beside = DetectorWatch(settings.shadow, build, settings.reload_every_s)
        shadow = Shadow(beside, time.monotonic())
    registry = CollectorRegistry()
    spans = _spans(settings.traces)
    metrics = WorkerMetrics(registry, spans)
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    _declare(metrics)
    health = Health(settings.http.max_turn_s, time.monotonic())
    health.detector_verified()
    metrics.ready.set_function(lambda: all(health.readiness(time.monotonic()).values()))
    if device.type == "cuda":
        memory = metrics.device_memory.labels(str(device))
        memory.set_function(partial(torch.cuda.memory_allocated, device))
    with (
        closing(spans),
        HealthServer(settings.http.host, settings.http.port, registry, health) as server,
    ):
        log.info(
            "worker_started",
            detector=steps.loaded.manifest.name,
            digest=steps.loaded.digest,
            model=steps.loaded.manifest.model,
            device=device.type,
            http_port=server.port,
            readings_topic=settings.kafka.readings_topic,
            group_id=settings.kafka.group_id,
        )
        on_listening(server.port)
        try:
            _work(settings, client, steps, watch, shadow, metrics, health, signals)
        finally:
            tell_left_out()
    n_readings = registry.get_sample_value("pipeline_readings_total") or 0.0
    log.info("worker_stopped", n_readings=int(n_readings))


def _work(
    settings: Settings,
    client: Clients,
    steps: Steps,
    watch: DetectorWatch[Steps],
    shadow: Shadow | None,
    metrics: WorkerMetrics,
    health: Health,
    signals: StopSignals,
) -> None:
    kafka = settings.kafka
    producer, delivery = _producer(client, kafka)
    try:
        outputs = [kafka.alerts_topic, kafka.dead_letters_topic]
        outputs += [kafka.expected_topic] if kafka.expected_topic else []
        if missing := producer.check_topics(outputs, kafka.connect_timeout_s):
            # Now, not when the first alert or bad record has nowhere to go.
            raise InputError(
                f"Kafka {kafka.bootstrap_servers} has no topics {missing} and creates "
                "none on first use; create them, or set PIPELINE_KAFKA__ALERTS_TOPIC, "
                "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC and PIPELINE_KAFKA__EXPECTED_TOPIC"
            )
        worker = Worker(
            steps=steps,
            recovery=Recovery(kafka.max_replay_records),
            connect=lambda listener: client.consumer(
                bootstrap_servers=kafka.bootstrap_servers,
                group_id=kafka.group_id,
                topic=kafka.readings_topic,
                listener=listener,
                group_instance_id=kafka.group_instance_id,
                session_timeout_s=kafka.session_timeout_s,
                max_poll_interval_s=kafka.max_poll_interval_s,
                connect_timeout_s=kafka.connect_timeout_s,
            ),
            delivery=delivery,
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
            commit_interval_s=kafka.commit_interval_s,
            look_for_idle_every_s=LOOK_FOR_IDLE_EVERY_S,
            drift=settings.drift,
            watch=watch,
            shadow=shadow,
        )
        try:
            show_client_errors()
            with signals.work_to_finish() as stop:
                worker.run(stop)
                log.info("stopping")
        finally:
            ignore_client_errors()
            worker.close(LEAVE_TIMEOUT_S)
    finally:
        producer.close(LEAVE_TIMEOUT_S)


def _steps(settings: Settings, device: torch.device, loaded: LoadedDetector) -> Steps:
    """What readings go through, for this detector."""
    kafka = settings.kafka
    scorer = Scorer(loaded.detector, device, settings.alert.embedding)
    if not is_steady(loaded.detector):
        log.warning("scores_depend_on_batches", device=scorer.device_type)
    return build_steps(
        loaded,
        scorer,
        settings.incident.rule(calibrated_rule(loaded)),
        settings.decode,
        _n_units(settings, loaded),
        settings.unit_idle_s,
        kafka.alerts_topic,
        settings.alert.max_sensors,
        kafka.expected_topic,
        kafka.max_metadata_bytes,
    )


def _producer(client: Clients, kafka: KafkaSettings) -> tuple[Producer, Delivery]:
    """What publishes, and the way in which the worker makes use of it."""
    options = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "connect_timeout_s": kafka.connect_timeout_s,
        "delivery_timeout_s": kafka.send_timeout_s,
    }
    if kafka.delivery == EXACTLY_ONCE:
        # The group fences whoever is no member. The id has only to be nobody else's, and
        # a static member's to be its own again, which ends at once what it left open.
        name = kafka.group_instance_id or uuid4().hex
        options["transactional_id"] = f"{kafka.group_id}-{name}"
        transactions = client.transactional_producer(**options)
        return transactions, transactions
    producer = client.producer(**options)
    return producer, AtLeastOnce(producer)


def _spans(traces: TracesSettings) -> Spans:
    if not traces.endpoint:
        return NoSpans()
    from pipeline.otel import otlp_spans

    return otlp_spans(traces.endpoint, traces.share)


def _n_units(settings: Settings, loaded: LoadedDetector) -> int:
    """`max_units`, or fewer where the detector's windows would take too much memory."""
    n_detectors = 1 if settings.shadow is None else 2
    n_most = n_affordable(loaded, settings.max_state_bytes // n_detectors)
    if n_most < settings.max_units:
        log.warning(
            "max_units_lowered",
            max_units=n_most,
            bytes_per_unit=bytes_per_unit(loaded),
            setting="PIPELINE_MAX_STATE_BYTES",
        )
    return min(settings.max_units, n_most)


def _declare(metrics: WorkerMetrics) -> None:
    metrics.declare_labels(
        reasons=(*decode.REASONS, TOO_MANY_UNITS),
        states=("opened", "updated", "closed"),
    )
    metrics.build_info.labels(
        version("sensor-anomaly-pipeline"), platform.python_version(), torch.__version__
    ).set(1)
