"""Spans kept in memory, to be looked at."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode

from libs.common import tracing
from libs.common.telemetry import Telemetry


class Spans:
    """What has ended so far, in that order."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def of_trace(self, trace_id: int) -> list[ReadableSpan]:
        return [span for span in self.all() if trace_of(span) == trace_id]

    def way_to(self, span: ReadableSpan) -> list[str]:
        """The names from the root of the trace down to this span."""
        by_id = {id_of(each): each for each in self.of_trace(trace_of(span))}
        names = [span.name]
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            names.insert(0, span.name)
        return names

    def text(self) -> str:
        """Everything that any span says, to be searched for what must not be there."""
        return "\n".join(span.to_json(indent=None) for span in self.all())

    def clear(self) -> None:
        self._exporter.clear()


@contextmanager
def recorded(sampler: Sampler = ALWAYS_ON) -> Iterator[Spans]:
    """Trace within the block."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(Telemetry(provider))
    try:
        yield Spans(exporter)
    finally:
        tracing.use(None)
        provider.shutdown()


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR
