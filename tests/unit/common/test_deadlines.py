"""A body that takes too long, and an answer that may take its time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from libs.common import deadlines
from libs.common.deadlines import CUT_OFF_IN_A_PASS, GuardedRunner, Limits

TIMEOUT_S = 0.4
WITHIN_S = 10.0  # a deadline that doesn't work takes for ever
HEAD = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n"
SLOW_BODIES = Limits(60, 60, body_timeout_s=TIMEOUT_S)


def cut_off(reason: str) -> float:
    name = "assistant_http_connections_cut_off_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


class Service:
    """Reads what it is sent, then waits until it may answer."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.errors: list[BaseException] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.was_asked.set()
        try:
            body = await request.read()
        except ConnectionError as error:
            self.errors.append(error)
            raise
        await self.may_answer.wait()
        return web.Response(text=str(len(body)))

    @asynccontextmanager
    async def serving(self, limits: Limits) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_route("*", "/", self.handle)
        runner = GuardedRunner(app, limits, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield site.port
        finally:
            await runner.cleanup()


@pytest.fixture
async def service() -> Service:
    return Service()


async def rest(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), WITHIN_S)
    return b""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_body_that_does_not_come_ends_the_connection(service: Service) -> None:
    before = cut_off("reading")
    async with service.serving(SLOW_BODIES) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"12345")
        assert await rest(reader) == b""
        await until(lambda: len(service.errors) == 1)
        writer.close()
    assert cut_off("reading") == before + 1


async def test_an_answer_takes_its_time_once_the_body_is_there(service: Service) -> None:
    service.may_answer.clear()
    async with service.serving(Limits(60, 60, body_timeout_s=2.0)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"12345")
        await asyncio.wait_for(service.was_asked.wait(), WITHIN_S)
        writer.write(b"67890")
        with pytest.raises(TimeoutError):  # longer than a body may take
            await asyncio.wait_for(reader.read(1), 3.0)
        service.may_answer.set()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await asyncio.wait_for(reader.readexactly(2), WITHIN_S) == b"10"
        writer.close()


async def test_whoever_dawdles_over_a_body_makes_room_for_others(service: Service) -> None:
    before = cut_off("evicted")
    async with service.serving(Limits(60, 60, max_connections=1)) as port:
        slow, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(HEAD + b"12345")
        await asyncio.wait_for(service.was_asked.wait(), WITHIN_S)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"1234567890")
        answered = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
        assert answered.startswith(b"HTTP/1.1 200 ")
        assert await rest(slow) == b""
        for each in (first, writer):
            each.close()
    assert cut_off("evicted") == before + 1


async def test_of_many_who_overstay_together_some_are_cut_off_in_a_pass(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(deadlines, "monotonic", lambda: now_s)
    before = cut_off("receiving")
    async with service.serving(Limits(TIMEOUT_S, 60)) as port:
        people = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        now_s = 1.0
        most = seen = 0.0
        async with asyncio.timeout(WITHIN_S):
            while seen < len(people):
                await asyncio.sleep(0)
                now = cut_off("receiving") - before
                most, seen = max(most, now - seen), now
        for _, writer in people:
            writer.close()
    assert most == CUT_OFF_IN_A_PASS
