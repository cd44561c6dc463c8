"""Traces of batches."""

import subprocess
import sys
import threading
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from pipeline.detector.detector import Detector
from pipeline.otel import MAX_LINKS, MAX_STEPS, BatchSpans, links, otlp_spans
from pipeline.records import Message
from pipeline.transport.memory import MemoryBroker, MemoryProducer
from pipeline.transport.memory_broker import MemoryRecord
from tests.builders import saved_detector
from tests.processes import WorkerProcess
from tests.support import unique_name, wait_until
from tests.workers import Setup, faulty_series, messages

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STEPS = ["poll", "decode", "window", "score", "incident", "publish", "commit"]


@contextmanager
def traced(detector: Detector, share: float = 1.0) -> Iterator[tuple[Setup, BatchSpans]]:
    """A worker with spans, whose broker holds a series with a fault."""
    broker = MemoryBroker()
    setup = Setup(broker, detector)
    spans = BatchSpans(InMemorySpanExporter(), share)
    setup.worker._metrics.spans = spans
    MemoryProducer(broker).send(messages("pump-7", faulty_series()))
    yield setup, spans


def finished(spans: BatchSpans) -> Sequence[ReadableSpan]:
    spans.close()
    (processor,) = spans._provider._active_span_processor._span_processors
    exporter = processor.span_exporter._exporter  # type: ignore[attr-defined]
    assert isinstance(exporter, InMemorySpanExporter)
    return exporter.get_finished_spans()


def test_a_batch_is_a_span_and_each_step_one_within(detector: Detector) -> None:
    with traced(detector) as (setup, spans):
        setup.read_all()

        made = finished(spans)
    batches = [span for span in made if span.name == "batch"]
    assert len(batches) == 4
    for batch in batches:
        steps = [s for s in made if s.parent and s.parent.span_id == batch.context.span_id]
        in_order = sorted(steps, key=lambda step: step.start_time or 0)
        assert [step.name for step in in_order] == STEPS
        for step in steps:
            assert (batch.start_time or 0) <= (step.start_time or 0)
            assert (step.end_time or 0) <= (batch.end_time or 0)


def test_it_says_what_the_batch_was_and_who_worked_on_it(detector: Detector) -> None:
    with traced(detector) as (setup, spans):
        setup.read_all()

        first = next(span for span in finished(spans) if span.name == "batch")
    assert dict(first.attributes or {}) == {
        "n_records": 50,
        "n_readings": 50,
        "n_windows": 43,
        "n_alerts": 0,
        "is_replay": False,
        "device": "cpu",
        "detector.digest": "sha256:0",
    }


def test_of_no_batch_nothing_is_told_unless_it_is_chosen(detector: Detector) -> None:
    with traced(detector, share=0.0) as (setup, spans):
        setup.read_all()

        assert finished(spans) == ()


def with_headers(*headers: tuple[str, bytes | None]) -> MemoryRecord:
    return MemoryRecord("readings", 0, 0, 0, b"k", b"v", headers)


def test_a_batch_is_linked_to_the_traces_of_its_records() -> None:
    header = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())

    (link,) = links([with_headers(header), with_headers(("other", b"x"), header)])

    assert f"{link.context.trace_id:032x}" == TRACE
    assert f"{link.context.span_id:016x}" == SPAN
    assert link.context.is_remote


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff" * 55, f"00-{'0' * 32}-{SPAN}-01".encode(), b"00-" + b"g" * 52],
)
def test_a_malformed_header_is_no_link(value: bytes | None) -> None:
    assert links([with_headers(("traceparent", value))]) == []


def test_links_are_so_many_at_most_and_sought_in_the_first_records_alone() -> None:
    def linked(number: int) -> MemoryRecord:
        return with_headers(("traceparent", f"00-{TRACE}-{number:016x}-01".encode()))

    assert len(links([linked(n) for n in range(1, 50)])) == MAX_LINKS
    assert links([with_headers()] * 10_000 + [linked(1)]) == []


def test_while_a_step_is_tried_again_and_again_its_spans_are_bounded(
    detector: Detector,
) -> None:
    with traced(detector) as (_, spans):
        spans._steps = []
        for _ in range(10_000):
            with spans.timed("publish", nullcontext()):
                pass

        assert len(spans._steps) == MAX_STEPS


class Failing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("nobody is there")


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are exported when the test says so."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")


@pytest.mark.usefixtures("by_hand")
def test_an_exporter_that_fails_changes_nothing_and_what_is_lost_is_told(
    detector: Detector,
) -> None:
    with traced(detector) as (undisturbed, _):
        undisturbed.read_all()
    with traced(detector) as (setup, _), capture_logs() as lines:
        setup.worker._metrics.spans = spans = BatchSpans(Failing(), 1.0)
        setup.read_all()
        spans._provider.force_flush()

    assert setup.alerts() == undisturbed.alerts() != []
    assert failures(lines) == [(4, "OSError: nobody is there")]


def failures(lines: Sequence[MutableMapping[str, Any]]) -> list[tuple[int, str]]:
    told = [line for line in lines if line["event"] == "trace_failed"]
    return [(line["n_batches"], line["error"]) for line in told]


@pytest.mark.usefixtures("by_hand")
def test_a_collector_that_is_down_is_one_line_of_ours_and_none_of_the_library(
    detector: Detector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Long enough for a second try.
    monkeypatch.setattr("pipeline.otel.EXPORT_TIMEOUT_S", 1.5)
    with collector() as (endpoint, _):
        pass
    with traced(detector) as (setup, _), capture_logs() as lines:
        spans = otlp_spans(endpoint, 1.0)
        setup.worker._metrics.spans = spans
        setup.read_all()
        spans._provider.force_flush()

    ((n_batches, error),) = failures(lines)
    assert n_batches == 4
    assert "refused" in error
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []


@pytest.mark.usefixtures("by_hand")
def test_batches_that_no_longer_fit_the_queue_are_lost_whole_and_told(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.otel.MAX_WAITING_SPANS", 2 * (1 + len(STEPS)))
    with traced(detector) as (setup, spans), capture_logs() as lines:
        setup.read_all()

        made = finished(spans)
    assert [span.name for span in made].count("batch") == 2
    assert len(made) == 2 * (1 + len(STEPS))
    assert failures(lines) == [(1, "they are made faster than the collector takes them")]


def test_what_goes_wrong_with_a_trace_is_no_matter_to_the_batch(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError

    with traced(detector) as (setup, spans):
        monkeypatch.setattr("pipeline.otel.links", fail)
        monkeypatch.setattr(spans, "_make", fail)
        with capture_logs() as lines:
            setup.read_all()

    assert setup.alerts() != []
    assert len(failures(lines)) == 1


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP over HTTP, and what it got."""
    got: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


def test_a_collector_gets_them_by_http_also_those_of_the_last_second(
    tmp_path: Path, kafka_bootstrap_servers: str
) -> None:
    topic = unique_name("readings")
    folder = tmp_path / "detector"
    saved_detector(folder)
    with collector() as (endpoint, got):
        settings = {
            "PIPELINE_DETECTOR": str(folder),
            "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
            "PIPELINE_KAFKA__READINGS_TOPIC": topic,
            "PIPELINE_KAFKA__GROUP_ID": topic,
            "PIPELINE_TRACES__ENDPOINT": endpoint,
            "PIPELINE_TRACES__SHARE": "1",
        }
        with WorkerProcess(settings, tmp_path / "log") as worker:
            worker.wait_until_ready()
            send(kafka_bootstrap_servers, topic)
            worker.wait_until_read(200)
            assert worker.stop() == 0
        wait_until(lambda: names(got) >= {"batch", *STEPS[:-1]}, "spans arrive")


def send(servers: str, topic: str) -> None:
    from pipeline.transport.kafka_python import KafkaPythonProducer

    producer = KafkaPythonProducer(bootstrap_servers=servers)
    try:
        readings = messages("pump-7", faulty_series())
        producer.send([Message(topic, each.value, each.key) for each in readings])
    finally:
        producer.close(5)


def names(got: list[ExportTraceServiceRequest]) -> set[str]:
    return {
        span.name
        for request in list(got)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


MISSING = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Hide())
from pipeline.__main__ import main
sys.argv = ["pipeline", "run", "--detector", sys.argv[1], "--set",
            "traces.endpoint=http://127.0.0.1:4318"]
main()
"""


def test_without_the_extra_there_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "detector"
    saved_detector(folder)

    ended = subprocess.run(
        [sys.executable, "-c", MISSING, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        "error: PIPELINE_TRACES__ENDPOINT needs OpenTelemetry: "
        "pip install 'sensor-anomaly-pipeline[otel]'"
    )


def test_a_worker_without_traces_imports_nothing_of_it() -> None:
    code = "import sys, pipeline.run; print('opentelemetry' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert done.stdout == "False\n"
