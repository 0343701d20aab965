"""Connections to a model: pools that stay small, however many ask at once."""

import asyncio

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.conversation.assistants import pools


async def test_who_finds_no_room_gets_another_pool_up_to_the_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "LARGEST_POOL", 2)
    monkeypatch.setattr(pools, "MOST_CONNECTIONS", 4)
    limits = httpx2.Limits(max_connections=2, max_keepalive_connections=2)
    monkeypatch.setattr(pools, "_LIMITS", limits)
    at_once: list[int] = []
    gate, inside = asyncio.Event(), 0

    async def handle(_request: web.Request) -> web.Response:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        if inside == 4:
            gate.set()
        await gate.wait()
        inside -= 1
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", handle)
    transport = pools.PooledTransport(trust_env=False)
    async with (
        TestServer(app) as server,
        httpx2.AsyncClient(transport=transport, timeout=30) as client,
    ):
        url = f"http://127.0.0.1:{server.port}/"
        answers = await asyncio.gather(*(client.get(url) for _ in range(9)))
        assert [answer.text for answer in answers] == ["ok"] * 9
        assert max(at_once) == 4
        assert [pool.waiting for pool in transport._pools] == [0]  # the other one is closed

        gate.clear()
        given_up = asyncio.create_task(client.get(url))
        while not inside:
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        assert [pool.waiting for pool in transport._pools] == [0]
        gate.set()


async def test_an_answer_that_has_only_begun_takes_its_place_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "LARGEST_POOL", 1)
    limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1)
    monkeypatch.setattr(pools, "_LIMITS", limits)
    gate = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"\n")  # as DeepSeek and OpenRouter do while the model thinks
        await gate.wait()
        await response.write(b"ok")
        return response

    app = web.Application()
    app.router.add_get("/", handle)
    transport = pools.PooledTransport(trust_env=False)
    async with (
        TestServer(app) as server,
        httpx2.AsyncClient(transport=transport, timeout=30) as client,
        asyncio.timeout(20),
    ):
        url = f"http://127.0.0.1:{server.port}/"
        async with client.stream("GET", url) as first, client.stream("GET", url) as second:
            assert [pool.waiting for pool in transport._pools] == [1, 1]
            gate.set()
            spare = transport._pools[1].transport
            assert [await first.aread(), await second.aread()] == [b"\nok", b"\nok"]
        assert [pool.waiting for pool in transport._pools] == [0]
        assert spare._pool.connections == []  # none stays open that nobody would use again

        gate.clear()
        async with client.stream("GET", url):
            pass  # who gives up in the middle gives the place back, too
        assert [pool.waiting for pool in transport._pools] == [0]
        gate.set()


async def test_a_quiet_service_has_one_pool() -> None:
    transport = pools.PooledTransport(trust_env=False)
    for _ in range(3):
        with pytest.raises(httpx2.ConnectError):
            await transport.handle_async_request(httpx2.Request("GET", "http://127.0.0.1:1/"))
    assert [pool.waiting for pool in transport._pools] == [0]
    await transport.aclose()
