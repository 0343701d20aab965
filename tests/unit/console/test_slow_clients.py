"""Clients that are slow or silent keep no connection of the console for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from libs.common.deadlines import GuardedRunner, Limits
from libs.common.service import HTTP_DRAIN_S
from services.console.app import LIMITS, create_service
from services.console.live.streams import Stream, Streams
from services.console.settings import SiteSettings
from services.console.web import live
from tests.ports import free_port
from tests.unit.console.test_settings import settings


def test_a_request_is_complete_within_15_seconds_or_its_connection_ends() -> None:
    a_look_now_and_then_s = 0.5
    for limit in (LIMITS.header_timeout_s, LIMITS.body_timeout_s, LIMITS.idle_timeout_s):
        assert limit is not None
        assert limit + a_look_now_and_then_s < 15


def test_an_answer_may_go_on_for_as_long_as_somebody_listens() -> None:
    assert LIMITS.busy_timeout_s is None


async def test_the_service_is_run_with_these_limits() -> None:
    service = create_service(settings(SiteSettings(env="test")))
    assert service.runner is not None
    runner = service.runner(service.app)
    assert runner.limits == LIMITS  # type: ignore[attr-defined]


Streaming = tuple[GuardedRunner, int]


@pytest.fixture
async def streaming() -> AsyncIterator[Streaming]:
    """Something that only ever streams, with limits far shorter than the stream."""
    limits = Limits(header_timeout_s=1.0, body_timeout_s=1.0, idle_timeout_s=1.0)
    app = web.Application()
    app[live.STREAMS] = Streams()
    app.on_shutdown.append(live.end_streams)

    async def listen(request: web.Request) -> web.StreamResponse:
        stream = Stream("usr_a", "ours", frozenset({"1"}))
        app[live.STREAMS].open(stream)
        response = web.StreamResponse(headers=live.HEADERS)
        await response.prepare(request)
        with suppress(ConnectionError, TimeoutError):
            await live.tell(request, response, stream)
        app[live.STREAMS].close(stream)
        return response

    app.router.add_get("/live", listen)
    runner = GuardedRunner(app, limits, shutdown_timeout=HTTP_DRAIN_S)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield runner, port
    await runner.cleanup()


async def test_a_stream_outlives_the_limits_and_ends_at_once_when_the_service_stops(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 1.2)  # longer than any limit
    runner, port = streaming
    url = f"http://127.0.0.1:{port}/live"
    async with asyncio.timeout(10), aiohttp.ClientSession() as session, session.get(url) as stream:
        text = b""
        while text.count(b"event: beat") < 3:
            text += await stream.content.readany()
        monkeypatch.setattr(live, "HEARTBEAT_S", 60)
        async with asyncio.timeout(HTTP_DRAIN_S):  # else it would have been waited for in vain
            await runner.cleanup()
        assert b"event" not in await stream.content.read()


async def test_a_browser_that_takes_nothing_any_more_is_let_go(
    streaming: Streaming, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "WRITE_WITHIN_S", 0.1)
    runner, port = streaming
    streams = runner.app[live.STREAMS]
    before = REGISTRY.get_sample_value("assistant_http_connections")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b"hello")
        while len(streams):  # until all that lies between us is full
            for number in range(90):
                streams.change(f"1:{number:0300}")
            await asyncio.sleep(0)
        while REGISTRY.get_sample_value("assistant_http_connections") != before:
            await asyncio.sleep(0.01)  # nothing of it waits here for the browser to read on
    writer.close()
