"""Webhooks take a shortcut past the router; what comes of it is the same on both ways."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from libs.common import tracing
from libs.common.web import Readiness
from services.gateway import handlers
from services.gateway.app import create_app, create_runner
from services.gateway.handlers import PATH, PUBLISHER
from tests.unit.gateway.conftest import FakePublisher, gateway_settings
from tests.unit.gateway.webhooks import META_BODY, META_SIGNATURE

WITHIN_S = 5.0


class Gateway:
    """One as it runs, and which requests came to the application's router."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.publisher = FakePublisher()
        self.readiness = Readiness()
        self.routed: list[str] = []
        self.port = 0
        routed = handlers.receive_webhook

        async def receive(request: web.Request) -> web.StreamResponse:
            self.routed.append(request.path)
            return await routed(request)

        monkeypatch.setattr(handlers, "receive_webhook", receive)

    async def run(self) -> AsyncIterator["Gateway"]:
        app = create_app(gateway_settings(), self.readiness)
        app[PUBLISHER].set(self.publisher)
        runner = create_runner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site.port
        yield self
        await runner.cleanup()

    async def answer(
        self, *headers: str, line: str = f"POST {PATH} HTTP/1.1", ends: bool = True
    ) -> bytes:
        """The answer's head and text, in lower case; the connection closes after it, since that is
        asked for (`ends`), or of the gateway's own accord."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        asked = ("Connection: close",) if ends else ()
        fields = ("Host: hooks", f"Content-Length: {len(META_BODY)}", *asked, *headers)
        head = "\r\n".join((line, f"X-Hub-Signature-256: {META_SIGNATURE}", *fields, "", ""))
        writer.write(head.encode() + META_BODY)
        try:
            return (await asyncio.wait_for(reader.read(), WITHIN_S)).lower()
        finally:
            writer.close()


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    async for running in Gateway(monkeypatch).run():
        yield running


async def test_a_webhook_as_meta_sends_it_needs_no_router(gateway: Gateway) -> None:
    assert (await gateway.answer()).startswith(b"http/1.1 200")
    assert gateway.routed == []
    assert len(gateway.publisher.records) == 1


@pytest.mark.parametrize(
    ("headers", "line"),
    [
        ((), f"POST {PATH}?a=1 HTTP/1.1"),
        ((), "POST /webhooks/%6Dessenger HTTP/1.1"),
        (("Expect: 100-continue",), f"POST {PATH} HTTP/1.1"),
    ],
)
async def test_anything_else_is_for_the_router(
    gateway: Gateway, headers: tuple[str, ...], line: str
) -> None:
    assert b"http/1.1 200 ok" in await gateway.answer(*headers, line=line)
    assert gateway.routed == [PATH]
    assert len(gateway.publisher.records) == 1


async def test_only_posts_take_the_shortcut(gateway: Gateway) -> None:
    assert (await gateway.answer(line=f"PUT {PATH} HTTP/1.1")).startswith(b"http/1.1 405")
    assert (await gateway.answer(line=f"GET {PATH} HTTP/1.1")).startswith(b"http/1.1 403")
    assert gateway.publisher.records == []


async def test_while_it_leaves_refusals_close_their_connection_too(gateway: Gateway) -> None:
    gateway.readiness.leaving = True
    gateway.publisher.error = TimeoutError()
    answer = await gateway.answer(ends=False)
    assert answer.startswith(b"http/1.1 503")
    assert b"connection: close" in answer
    assert gateway.routed == [PATH]


@pytest.mark.parametrize(("error", "status"), [(None, b"200"), (TimeoutError(), b"503")])
async def test_who_was_let_in_before_it_leaves_hears_of_it(
    gateway: Gateway, error: Exception | None, status: bytes
) -> None:
    gateway.publisher.error = error
    gateway.publisher.lets_go.clear()
    answering = asyncio.create_task(gateway.answer(ends=False))
    while not gateway.publisher.begun:
        await asyncio.sleep(0)
    gateway.readiness.leaving = True
    gateway.publisher.lets_go.set()
    answer = await answering
    assert answer.startswith(b"http/1.1 " + status)
    assert b"connection: close" in answer
    assert gateway.routed == []


async def test_an_error_of_ours_is_500_and_says_nothing(gateway: Gateway) -> None:
    gateway.publisher.error = ZeroDivisionError("secret")
    answer = await gateway.answer()
    assert answer.startswith(b"http/1.1 500")
    assert b"secret" not in answer


async def test_traced_webhooks_take_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_on", lambda: True)
    app = create_app(gateway_settings(), Readiness())

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    assert handlers.shortcut(app)(handle) is handle
