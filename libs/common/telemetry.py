"""What stands behind `tracing.py` when it is on: the only module that imports OpenTelemetry.

No provider is set for the whole process, so no library adds spans of its own: what is exported is
what our code says, by the names below, cleaned as log values are.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from urllib.parse import unquote

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter

from libs.common.errors import name_of
from libs.common.logging import clean
from libs.common.metrics import from_zero
from libs.common.sparingly import Sparingly
from libs.common.tracing import OFF, Expected, Facts, Kind, TracingSettings

Attribute = str | int | float | bool

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        # where OpenTelemetry has a name, that one
        "code": "assistant.graph.code",
        "collection": "db.collection.name",
        "group": "messaging.consumer.group.name",
        "host": "server.address",
        "input_tokens": "gen_ai.usage.input_tokens",
        "method": "http.request.method",
        "model": "gen_ai.request.model",
        "offset": "messaging.kafka.offset",
        "operation": "db.operation.name",
        "output_tokens": "gen_ai.usage.output_tokens",
        "partition": "messaging.destination.partition.id",
        "records": "messaging.batch.message_count",
        "route": "http.route",
        "status": "http.response.status_code",
        "subcode": "assistant.graph.subcode",
        "endpoint": "assistant.graph.endpoint",
        "topic": "messaging.destination.name",
        **{
            name: f"assistant.{name}"
            for name in (
                "attempt",
                "attempts",
                "command_id",
                "conversation",
                "generation",
                "joined",
                "outcome",
                "page_id",
                "part",
                "parts",
                "reason",
                "record_type",
                "rule",
                "send_id",
                "waited_s",
            )
        },
    }
)
MOST_LINKS = 32

SPANS = from_zero(
    Counter(
        "assistant_spans_total",
        "Spans handed to the exporter, by what became of them.",
        ["outcome"],
    ),
    ("exported", "failed"),
)

_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_SYSTEMS = {"topic": ("messaging.system", "kafka"), "collection": ("db.system.name", "mongodb")}
_W3C = TraceContextTextMapPropagator()

log = structlog.get_logger(__name__)


class Telemetry:
    """Spans by a provider of its own. A `tracing.Backend`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("messenger-assistant")

    @contextmanager
    def entry(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        expected: Expected,
        facts: Facts,
        *,
        linked: bool,
    ) -> Iterator[None]:
        here = trace.get_current_span().get_span_context()
        context = _context_of(parent) if parent else None
        links = [Link(here)] if linked and context is not None and here.is_valid else []
        span = self._tracer.start_span(
            name,
            context,
            kind=_KINDS[kind],
            attributes=attributes_of(facts),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        )
        with _within(span, expected):
            yield

    def step(
        self, name: str, kind: Kind, expected: Expected, facts: Facts
    ) -> AbstractContextManager[None]:
        if not trace.get_current_span().is_recording():
            return OFF
        return self.entry(name, kind, None, expected, facts, linked=False)

    def took(self, name: str, kind: Kind, duration_s: float, failed: bool, facts: Facts) -> None:
        if not trace.get_current_span().is_recording():
            return
        ended_at = time.time_ns()
        span = self._tracer.start_span(
            name,
            kind=_KINDS[kind],
            attributes=attributes_of(facts),
            start_time=ended_at - int(duration_s * 1e9),
        )
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(ended_at)

    def note(self, facts: Facts) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(attributes_of(facts))

    def event(self, name: str, facts: Facts) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.add_event(name, attributes_of(facts))

    def fail(self, reason: str) -> None:
        span = trace.get_current_span()
        span.set_attribute("error.type", reason)
        span.set_status(StatusCode.ERROR)

    def joined(self, name: str, parents: Iterable[str]) -> None:
        here = trace.get_current_span()
        others: dict[int, Context] = {}
        for parent in parents:
            context = _context_of(parent)
            there = trace.get_current_span(context).get_span_context()
            if there.is_valid and there.trace_id != here.get_span_context().trace_id:
                others.setdefault(there.trace_id, context)
        for context in list(others.values())[:MOST_LINKS]:
            here.add_link(trace.get_current_span(context).get_span_context())
            links = [Link(here.get_span_context())]
            self._tracer.start_span(name, context, kind=SpanKind.CONSUMER, links=links).end()

    def traceparent(self) -> str | None:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    def trace_id(self) -> str | None:
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def close(self, within_s: float) -> None:
        """The last batch, in a thread that nobody waits for longer than that."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(within_s)
        if ending.is_alive():
            log.warning("traces_not_exported", reason="no time left", timeout_s=within_s)


@contextmanager
def _within(span: Span, expected: Expected) -> Iterator[None]:
    """The span at hand for as long as the block takes; it says how that ended, in our words."""
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except asyncio.CancelledError:
        span.set_attribute("assistant.outcome", "cancelled")
        raise
    except expected as outcome:
        span.set_attribute("assistant.outcome", name_of(outcome))
        raise
    except BaseException as error:
        span.set_attribute("error.type", name_of(error))
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


def attributes_of(facts: Facts) -> dict[str, Attribute]:
    """By their names on the wire. What has none is not said, and values are as clean as in logs."""
    found: dict[str, Attribute] = {}
    for name, value in facts.items():
        attribute = ATTRIBUTES.get(name)
        if attribute is None or value is None:
            continue
        cleaned = clean(name, value)
        found[attribute] = cleaned if isinstance(cleaned, str | int | float) else str(cleaned)
        if name in _SYSTEMS:
            key, system = _SYSTEMS[name]
            found[key] = system
    return found


def _context_of(parent: str) -> Context:
    """An empty one for what is no `traceparent`: then the trace begins here."""
    return _W3C.extract({"traceparent": parent}, Context())


class Telling(SpanExporter):
    """An exporter whose failures are counted, and told now and then; it never raises."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failures = Sparingly(60.0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
            reason = "refused, or not reachable"
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        is_done = result is SpanExportResult.SUCCESS
        SPANS.labels("exported" if is_done else "failed").inc(len(spans))
        if not is_done and (count := self._failures.count()):
            log.warning("traces_not_exported", reason=reason, count=count)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def exporting(service: str, settings: TracingSettings) -> TracerProvider:
    """A provider whose spans leave in batches, by a thread of their own, from a bounded queue."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `Telling` says it, sparingly
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.exporter_otlp_endpoint.rstrip('/')}/v1/traces",
        headers=_headers(settings.exporter_otlp_headers.get_secret_value()),
    )
    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": settings.service_name or service,
                "service.instance.id": socket.gethostname(),
            }
        ),
        sampler=sampler_of(settings),
        shutdown_on_exit=False,  # `close` does it, within a time
    )
    # OTEL_BSP_*: 2048 spans at most wait; what comes on top of that costs the oldest
    provider.add_span_processor(BatchSpanProcessor(Telling(exporter)))
    return provider


def sampler_of(settings: TracingSettings) -> Sampler:
    name = settings.traces_sampler
    root: Sampler
    match name.removeprefix("parentbased_"):
        case "always_off":
            root = ALWAYS_OFF
        case "traceidratio":
            root = TraceIdRatioBased(settings.traces_sampler_arg)
        case _:
            root = ALWAYS_ON
    return ParentBased(root) if name.startswith("parentbased_") else root


def _headers(pairs: str) -> dict[str, str]:
    """As OpenTelemetry has them: a comma or a space within a value is written %2C or %20."""
    found = (pair.partition("=") for pair in pairs.split(",") if pair.strip())
    return {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in found}
