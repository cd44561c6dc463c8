"""Traces by OpenTelemetry: a span for each batch, and within it one for each step.

No other file imports `opentelemetry`; this one is imported only if traces are on.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from types import TracebackType
from urllib.parse import urlsplit
from uuid import uuid4

from pipeline.errors import InputError
from pipeline.records import Record
from pipeline.spans import TimedStep
from pipeline.trace_losses import LibraryLines, TraceLosses
from pipeline.turn import Taken, Turn

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )
    from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
    from opentelemetry.trace import Link, SpanContext, TraceFlags, set_span_in_context
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("opentelemetry"):
        raise
    raise InputError(
        "PIPELINE_TRACES__ENDPOINT needs OpenTelemetry: "
        "pip install 'sensor-anomaly-pipeline[otel]'"
    ) from error

NAME = "sensor-anomaly-pipeline"
PATH = "/v1/traces"
EXPORT_TIMEOUT_S = 5.0
LEAVE_TIMEOUT_S = 0.5
"""For what is not yet exported when the worker leaves. What takes longer is lost."""
MAX_STEPS = 64
"""Of one batch: while a broker takes nothing, publishing is tried again each second."""
MAX_WAITING_SPANS = 2_048
"""What the library's queue holds; of further ones it would forget the oldest."""
MAX_RECORDS_SEARCHED = 100
MAX_LINKS = 8
"""To the traces that a batch's records came with, the first of them."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
BEFORE_A_BATCH = ("poll", "decode")
"""Steps of the batch that is taken up next, while another is in hand."""

Step = tuple[str, int, int]
"""Its name, begin and end, in nanoseconds since 1970."""


class BatchSpans:
    """Makes spans of a worker's steps. Owns the steps of the batch in hand, and the next.

    Steps are done on several threads, so no span is open meanwhile: all are made, with the
    times that were noted, when the batch is done.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        share: float,
        losses: TraceLosses | None = None,
    ) -> None:
        """Start to export.

        Args:
            exporter: where spans go, in batches, on a thread of its own.
            share: of batches that are traced, 0 to 1.
            losses: told of what does not arrive.
        """
        self._losses = losses or TraceLosses()
        resource = Resource.create(
            {
                "service.name": NAME,
                "service.version": version(NAME),
                "service.instance.id": uuid4().hex,
            }
        )
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(share), resource=resource, shutdown_on_exit=False
        )
        self._exporter = _Watched(exporter, self._losses)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(NAME)
        self._n_spans_made = 0
        self._next: list[Step] = []
        self._steps: list[Step] | None = None
        self._began_ns = 0
        self._links: list[Link] = []

    def timed(self, step: str, timer: TimedStep) -> TimedStep:
        return _Noted(self, step, timer)

    def note(self, step: str, begin_ns: int, end_ns: int) -> None:
        """Add a step that is done."""
        if step == BEFORE_A_BATCH[0]:
            # The one before brought nothing.
            self._next = []
        steps = self._next if step in BEFORE_A_BATCH else self._steps
        if steps is not None and len(steps) < MAX_STEPS:
            steps.append((step, begin_ns, end_ns))

    def begin(self, taken: Taken) -> None:
        self._steps, self._next = self._next, []
        self._began_ns = time.time_ns()
        with self._never_in_the_way():
            self._links = links(taken.records.records)

    def end(self, turn: Turn, device: str, digest: str) -> None:
        steps, self._steps = self._steps, None
        if steps is None:
            return
        with self._never_in_the_way():
            self._make(turn, device, digest, steps, time.time_ns())

    def close(self) -> None:
        """Export what there is, if it takes no longer than `LEAVE_TIMEOUT_S`."""
        flush = threading.Thread(target=self._flush, name="traces", daemon=True)
        flush.start()
        flush.join(LEAVE_TIMEOUT_S)

    def _make(
        self, turn: Turn, device: str, digest: str, steps: list[Step], end_ns: int
    ) -> None:
        begin_ns = min([self._began_ns, *(begin for _, begin, _ in steps)])
        batch = self._tracer.start_span("batch", start_time=begin_ns, links=self._links)
        if not batch.is_recording():
            return
        n_spans = 1 + len(steps)
        if self._n_spans_made + n_spans - self._exporter.n_spans_taken > MAX_WAITING_SPANS:
            self._losses.add(1, "they are made faster than the collector takes them")
            return
        self._n_spans_made += n_spans
        batch.set_attributes(
            {
                "n_records": len(turn.records.records),
                "n_readings": len(turn.taken.decoded),
                "n_windows": sum(len(each.windows) for each in turn.stretches),
                "n_alerts": len(turn.events),
                "is_replay": turn.records.is_replay,
                "device": device,
                "detector.digest": digest,
            }
        )
        within = set_span_in_context(batch)
        for name, step_begin_ns, step_end_ns in steps:
            step = self._tracer.start_span(name, within, start_time=step_begin_ns)
            step.end(step_end_ns)
        batch.end(end_ns)

    def _flush(self) -> None:
        with self._never_in_the_way():
            self._provider.force_flush(round(LEAVE_TIMEOUT_S * 1000))

    @contextmanager
    def _never_in_the_way(self) -> Iterator[None]:
        """Whatever goes wrong with a trace, the batch goes on."""
        try:
            yield
        except Exception as error:
            self._losses.add(1, _told(error))


class _Watched(SpanExporter):
    """An exporter that never raises. Tells of what did not arrive."""

    def __init__(self, exporter: SpanExporter, losses: TraceLosses) -> None:
        self._exporter, self._losses = exporter, losses
        self._library = LibraryLines()
        self.n_spans_taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.n_spans_taken += len(spans)
        self._library.last = ""
        try:
            result = self._exporter.export(spans)
            reason = self._library.last
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, _told(error)
        if result is SpanExportResult.SUCCESS:
            self._losses.tell_if_due()
        else:
            n_batches = len({span.context.trace_id for span in spans if span.context})
            self._losses.add(n_batches, reason or "the collector did not take them")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class _Noted:
    """A timer of a step that is noted as well."""

    def __init__(self, spans: BatchSpans, step: str, timer: TimedStep) -> None:
        self._spans, self._step, self._timer = spans, step, timer

    def __enter__(self) -> None:
        self._timer.__enter__()
        self._begin_ns = time.time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._spans.note(self._step, self._begin_ns, time.time_ns())
        self._timer.__exit__(kind, error, traceback)


def links(records: Sequence[Record]) -> list[Link]:
    """Links to the traces that the first of these records are part of.

    Their senders say so in a header `traceparent` (W3C Trace Context); one that is
    malformed is no link.
    """
    found: dict[tuple[int, int], Link] = {}
    for record in islice(records, MAX_RECORDS_SEARCHED):
        for name, value in record.headers:
            if name != "traceparent" or not (m := _TRACEPARENT.fullmatch(value or b"")):
                continue
            trace, span, flags = (int(group, 16) for group in m.groups())
            context = SpanContext(
                trace, span, is_remote=True, trace_flags=TraceFlags(flags)
            )
            if context.is_valid:
                found.setdefault((trace, span), Link(context))
        if len(found) >= MAX_LINKS:
            break
    return list(islice(found.values(), MAX_LINKS))


def otlp_spans(endpoint: str, share: float) -> BatchSpans:
    """Spans that go to a collector, by OTLP over HTTP.

    Args:
        endpoint: `http://host:4318`; the usual path is added where there is none.
        share: of batches that are traced, 0 to 1.
    """
    url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + PATH
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
    return BatchSpans(exporter, share)
