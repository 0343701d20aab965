"""Spans: off and on, what they say, what they never say, and exporters that do not answer."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from pydantic import SecretStr, ValidationError

from libs.common import logging as project_logging
from libs.common import tracing
from libs.common.errors import PermanentError
from libs.common.events import MessageRead
from libs.common.kafka.publisher import message_of
from libs.common.logging import name_trace
from libs.common.service import Service, run
from libs.common.settings import HttpSettings, RuntimeSettings
from libs.common.telemetry import ATTRIBUTES, SPANS, Telemetry, Telling, exporting, sampler_of
from libs.common.tracing import Facts, TracingSettings
from libs.common.web import Readiness, base_app, json_errors, require_service_token
from tests.ports import free_port
from tests.traces import Spans, failed, recorded, trace_of

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
TRACE = 0x0123456789ABCDEF0123456789ABCDEF
READ = MessageRead(
    event_id="e",
    page_id="4225",
    psid="7001",
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    watermark_ms=1_767_225_600_000,
)
TOKEN = SecretStr("a-service-token-of-length")


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded() as found:
        yield found


class BrokenError(PermanentError):
    code = "broken"


# off


def test_services_without_tracing_import_nothing_of_opentelemetry() -> None:
    names = ("gateway", "conversation", "sender", "takeover", "analytics", "console")
    imports = "\n".join(f"import services.{name}.app" for name in names)
    look = "import sys; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    ran = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{look}"], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.strip() == "[]", ran.stderr


def test_without_an_address_nothing_is_traced_and_everything_works() -> None:
    tracing.start("gateway", TracingSettings())
    assert not tracing.is_on()
    with tracing.entry("a"), tracing.step("b"):
        tracing.note(outcome="ok")
        tracing.event("c")
        tracing.fail("d")
        assert tracing.traceparent() is None
        assert tracing.trace_id() is None
    assert [name for name, _ in message_of(READ).headers][-1] != "traceparent"


def test_a_service_with_an_address_and_without_the_packages_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "libs.common.telemetry", None)
    monkeypatch.setattr(project_logging, "configure", lambda *_args, **_more: None)
    traces = TracingSettings(exporter_otlp_endpoint="http://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        run(never_made, HttpSettings(port=1), RuntimeSettings(), "gateway", traces)
    assert ended.value.code == 78
    assert "install messenger-assistant[otel]" in capsys.readouterr().err
    assert not tracing.is_on()


def never_made() -> Service:
    raise AssertionError("it must not be started")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("exporter_otlp_endpoint", "collector:4318"),
        ("exporter_otlp_headers", "no pair"),
        ("traces_sampler", "sometimes"),
        ("traces_sampler_arg", "2"),
    ],
)
def test_a_wrong_variable_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ValidationError, match=variable):
        TracingSettings.model_validate({variable: value})


# on


def test_a_step_is_within_the_entry_and_nothing_without_one(spans: Spans) -> None:
    with tracing.step("alone"):
        pass
    with tracing.entry("outer"), tracing.step("inner"):
        pass
    assert [span.name for span in spans.all()] == ["inner", "outer"]
    assert spans.way_to(spans.one("inner")) == ["outer", "inner"]


@pytest.mark.parametrize("parent", [PARENT, PARENT.encode()])
def test_an_entry_goes_on_with_the_trace_that_it_is_given(
    spans: Spans, parent: str | bytes
) -> None:
    with tracing.entry("here", parent=parent):
        assert tracing.trace_id() == f"{TRACE:032x}"
        assert str(tracing.traceparent()).startswith(PARENT[:36])
    assert trace_of(spans.one("here")) == TRACE


@pytest.mark.parametrize("parent", ["", "nonsense", b"\xff\x00", None])
def test_what_is_no_traceparent_begins_a_trace(spans: Spans, parent: str | bytes | None) -> None:
    with tracing.entry("here", parent=parent):
        pass
    assert spans.one("here").parent is None


def test_a_late_entry_points_back_to_the_trace_in_whose_course_it_comes(spans: Spans) -> None:
    with tracing.entry("wake"), tracing.entry("late", parent=PARENT, linked=True):
        pass
    (link,) = spans.one("late").links
    assert trace_of(spans.one("late")) == TRACE
    assert link.context.trace_id == trace_of(spans.one("wake"))


def test_traces_that_join_and_the_one_that_they_join_point_to_each_other(spans: Spans) -> None:
    other = PARENT.replace("0123", "4567", 1)
    with tracing.entry("turn", parent=PARENT):
        tracing.joined("join", lambda: [PARENT, other, other, "nonsense"])
    turn, join = spans.one("turn"), spans.one("join")
    assert [link.context.trace_id for link in turn.links] == [trace_of(join)]
    assert [link.context.trace_id for link in join.links] == [TRACE]


def test_a_record_takes_the_trace_along(spans: Spans) -> None:
    with tracing.entry("here", parent=PARENT):
        headers = dict(message_of(READ).headers)
    assert headers["traceparent"].decode().startswith(PARENT[:36])


def test_a_trace_that_is_not_sampled_is_handed_on_and_not_recorded() -> None:
    with recorded(ALWAYS_OFF) as spans:
        with tracing.entry("here", parent=PARENT), tracing.step("there"):
            assert str(tracing.traceparent()).endswith("-00")
        assert spans.all() == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parentbased_traceidratio", "ParentBased{root:TraceIdRatioBased{0.25}"),
        ("traceidratio", "TraceIdRatioBased{0.25}"),
        ("always_off", "AlwaysOffSampler"),
        ("parentbased_always_on", "ParentBased{root:AlwaysOnSampler"),
    ],
)
def test_the_sampler_is_the_one_that_is_named(name: str, expected: str) -> None:
    settings = TracingSettings.model_validate({"traces_sampler": name, "traces_sampler_arg": 0.25})
    assert sampler_of(settings).get_description().startswith(expected)


# what spans say


def test_every_fact_has_a_name_on_the_wire() -> None:
    assert set(ATTRIBUTES) == set(Facts.__annotations__)


def test_an_error_is_its_class_and_code_and_never_its_text(spans: Spans) -> None:
    with pytest.raises(BrokenError), tracing.entry("here"):
        raise BrokenError("a canary that somebody wrote")
    span = spans.one("here")
    assert failed(span)
    assert dict(span.attributes or {}) == {"error.type": "BrokenError/broken"}
    assert "canary" not in spans.text()


def test_an_expected_error_is_an_outcome(spans: Spans) -> None:
    with pytest.raises(BrokenError), tracing.entry("here", expected=(BrokenError,)):
        raise BrokenError
    assert not failed(spans.one("here"))
    assert dict(spans.one("here").attributes or {}) == {"assistant.outcome": "BrokenError/broken"}


async def test_cancelled_work_has_not_failed(spans: Spans) -> None:
    async def work() -> None:
        with tracing.entry("here"):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert not failed(spans.one("here"))


def test_people_are_hashed_secrets_blotted_out_and_unknown_facts_dropped(spans: Spans) -> None:
    facts = {"conversation": "4225:7001", "reason": "EAAcanary1234567", "text": "canary"}
    with tracing.entry("here", **facts):  # type: ignore[arg-type]
        pass
    said = dict(spans.one("here").attributes or {})
    assert set(said) == {"assistant.conversation", "assistant.reason"}
    assert "7001" not in str(said)
    assert "canary" not in spans.text()


def test_a_log_line_names_the_trace(spans: Spans) -> None:
    assert name_trace(None, "info", {}) == {}
    with tracing.entry("here", parent=PARENT):
        assert name_trace(None, "info", {}) == {"trace_id": f"{TRACE:032x}"}
    assert spans.all()


# requests


async def test_a_request_is_a_span_by_its_route_and_status(spans: Spans) -> None:
    async with _served() as client:
        await client.get("/things/canary?token=canary", headers={"Authorization": f"Bearer {_T}"})
        await client.get("/broken/canary", headers={"Authorization": f"Bearer {_T}"})
        await client.get("/nowhere/canary", headers={"Authorization": f"Bearer {_T}"})
        await client.get("/healthz")
    assert [span.name for span in spans.all()] == ["GET /things/{thing}", "GET /broken/{thing}"]
    things, broken = spans.all()
    assert (things.attributes or {})["http.response.status_code"] == 404
    assert [failed(things), failed(broken)] == [False, True]
    assert "canary" not in spans.text()


async def test_only_who_has_the_service_token_says_which_trace_a_request_is_of(
    spans: Spans,
) -> None:
    async with _served() as client:
        await client.get(
            "/things/1", headers={"Authorization": f"Bearer {_T}", "traceparent": PARENT}
        )
        await client.get("/things/1", headers={"traceparent": PARENT})
    assert [trace_of(span) for span in spans.all()] == [TRACE]
    spans.clear()
    async with _served(internal=False) as client:
        await client.get("/things/1", headers={"traceparent": PARENT})
    assert [trace_of(span) == TRACE for span in spans.all()] == [False]


_T = TOKEN.get_secret_value()


def _served(*, internal: bool = True) -> TestClient[web.Request, web.Application]:
    guards = (require_service_token(TOKEN),) if internal else ()
    app = base_app(Readiness(), json_errors, *guards)

    async def missing(_request: web.Request) -> web.Response:
        raise web.HTTPNotFound(text="canary")

    async def broken(_request: web.Request) -> web.Response:
        raise ValueError("canary")

    app.router.add_get("/things/{thing}", missing)
    app.router.add_get("/broken/{thing}", broken)
    return TestClient(TestServer(app))


# exporters


def test_an_exporter_that_is_refused_costs_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    before = SPANS.labels("failed")._value.get()
    address = f"http://127.0.0.1:{free_port()}"
    tracing.start("gateway", TracingSettings(exporter_otlp_endpoint=address))
    try:
        began_at = time.monotonic()
        for _ in range(100):
            with tracing.entry("here"):
                pass
        assert time.monotonic() - began_at < 10
    finally:
        tracing.stop(20)
    assert SPANS.labels("failed")._value.get() - before == 100


async def test_spans_arrive_by_otlp_with_the_headers_that_are_asked_for() -> None:
    arrived: list[tuple[str | None, bytes]] = []

    async def receive(request: web.Request) -> web.Response:
        arrived.append((request.headers.get("x-key"), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", receive)
    async with TestServer(app) as receiver:
        settings = TracingSettings(
            exporter_otlp_endpoint=str(receiver.make_url("/")),
            exporter_otlp_headers=SecretStr("X-Key=Basic%20c2VjcmV0"),  # as receivers tell it
            service_name="eu-gateway",
        )
        tracing.start("gateway", settings)
        with tracing.entry("here", parent=PARENT):
            pass
        await asyncio.to_thread(tracing.stop, 20)
    ((key, body),) = arrived
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    said = {each.key: each.value.string_value for each in resource.resource.attributes}
    (span,) = resource.scope_spans[0].spans
    assert (key, said["service.name"]) == ("Basic c2VjcmV0", "eu-gateway")
    assert (span.name, span.trace_id.hex()) == ("here", f"{TRACE:032x}")


class Stuck(SpanExporter):
    """Exports nothing until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def export(self, spans: object) -> SpanExportResult:
        self.released.wait(30)
        return SpanExportResult.SUCCESS


def test_an_exporter_that_is_stuck_is_waited_for_no_longer_than_promised() -> None:
    provider, stuck = TracerProvider(shutdown_on_exit=False), Stuck()
    batches = BatchSpanProcessor(Telling(stuck), max_queue_size=8, max_export_batch_size=8)
    provider.add_span_processor(batches)
    tracing.use(Telemetry(provider))
    for _ in range(100):
        with tracing.entry("here"):
            pass
    began_at = time.monotonic()
    tracing.stop(0.2)
    assert time.monotonic() - began_at < 10  # and not 30
    stuck.released.set()


def test_spans_name_their_service_and_instance() -> None:
    settings = TracingSettings(
        exporter_otlp_endpoint="http://127.0.0.1:1", exporter_otlp_headers=SecretStr("a=b")
    )
    provider = exporting("gateway", settings)
    provider.shutdown()
    assert provider.resource.attributes["service.name"] == "gateway"
    assert provider.resource.attributes["service.instance.id"]
