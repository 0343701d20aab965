"""A model at an address that an administrator typed in: never inside the network, by no way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from libs.common.outbound import Inside
from services.conversation.assistants import guarded
from services.conversation.assistants.base import (
    AssistantRefusedError,
    AssistantUnavailableError,
    Prompt,
)
from services.conversation.assistants.endpoints import ModelProvider
from services.conversation.assistants.llm import LanguageModelAssistant
from simulator.completions import SimulatedModel

KEY = "sk-canary-of-the-guard"
PROMPT = Prompt("answer", "Be brief.", "", (), "Hello there", model="small")


class Server:
    """The simulated model, and what it was sent."""

    def __init__(self) -> None:
        self.port = 0
        self.hosts: list[str] = []
        self.location = ""
        self.answer: bytes | None = None
        self.headers: dict[str, str] = {}
        self.sent_bytes = 0
        self.encodings: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hosts.append(request.headers["Host"])
        self.encodings.append(request.headers["Accept-Encoding"])
        if self.location:
            return web.Response(status=307, headers={"Location": self.location})
        if self.answer is not None:
            return await self.go_on(request, self.answer)
        return await SimulatedModel().complete(request)

    async def go_on(self, request: web.Request, part: bytes) -> web.StreamResponse:
        """The same again and again, for as long as somebody reads it, and 64 times at most."""
        response = web.StreamResponse(headers={"Content-Type": "application/json", **self.headers})
        await response.prepare(request)
        for _ in range(64):
            await response.write(part)
            self.sent_bytes += len(part)
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/{tail:.*}", server.handle)
    async with TestServer(app) as running:
        assert running.port is not None
        server.port = running.port
        yield server


async def ask(url: str, inside: Inside, provider: ModelProvider = "openai") -> str:
    assistant = LanguageModelAssistant(
        provider=provider, model="m", api_key=KEY, base_url=url, timeout_s=10, inside=inside
    )
    try:
        return (await assistant.reply(PROMPT)).text
    finally:
        await assistant.aclose()


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses, in this order."""

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1"])
async def test_an_address_inside_is_not_connected_to(
    server: Server, host: str, provider: ModelProvider
) -> None:
    with capture_logs() as logs, pytest.raises(AssistantRefusedError) as raised:
        await ask(f"http://{host}:{server.port}/v1", Inside(), provider)
    assert raised.value.cause == "address_forbidden"
    assert server.hosts == []
    assert KEY not in str(logs)


async def test_nor_is_a_name_that_leads_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, "10.0.0.5", "127.0.0.1")
    with pytest.raises(AssistantRefusedError) as raised:
        await ask(f"http://models.example:{server.port}/v1", Inside())
    assert raised.value.cause == "address_forbidden"
    assert server.hosts == []


async def test_what_was_judged_is_what_is_connected_to_and_the_name_stays(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, "10.0.0.5", "127.0.0.1")
    monkeypatch.setattr(guarded, "_is_public", lambda address: address == "127.0.0.1")
    text = await ask(f"http://models.example:{server.port}/v1", Inside())
    assert "Hello there" in text
    assert server.hosts == [f"models.example:{server.port}"]


async def test_a_host_that_was_opened_is_asked(server: Server) -> None:
    opened = Inside(hosts=frozenset({f"127.0.0.1:{server.port}"}))
    assert "Hello there" in await ask(f"http://127.0.0.1:{server.port}/v1", opened)


async def test_no_redirect_is_followed(server: Server) -> None:
    server.location = f"http://127.0.0.1:{server.port}/v1/elsewhere"
    with pytest.raises((AssistantRefusedError, AssistantUnavailableError)):
        await ask(f"http://127.0.0.1:{server.port}/v1", Inside(everything=True))
    assert len(server.hosts) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic", "simulator"])
async def test_none_is_followed_from_where_the_installation_asks_either(
    server: Server, provider: ModelProvider
) -> None:
    """An SDK would: with what people wrote, and of Anthropic's protocol with the key."""
    server.location = f"http://localhost:{server.port}/v1/elsewhere"
    assistant = LanguageModelAssistant(
        provider=provider,
        model="m",
        api_key=KEY,
        base_url=f"http://127.0.0.1:{server.port}/v1",
        timeout_s=10,
    )
    with pytest.raises((AssistantRefusedError, AssistantUnavailableError)):
        await assistant.reply(PROMPT)
    await assistant.aclose()
    assert server.hosts == [f"127.0.0.1:{server.port}"]


async def test_a_name_that_changes_its_address_in_between_gains_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged and connected to is one answer of the resolver, each time anew."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])
    asked: list[str] = []
    connected: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in next(answers)]

    async def connect(_self: object, request: httpx2.Request) -> httpx2.Response:
        connected.append(request.url.host)
        return httpx2.Response(503, request=request)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", connect)
    async with guarded.guarded_client(Inside(), 5) as client:
        await client.get("https://models.example/v1")
        with pytest.raises(guarded.ForbiddenAddressError):
            await client.get("https://models.example/v1")
    assert connected == ["93.184.216.34"]
    assert asked == ["models.example"] * 2


async def test_an_answer_without_end_is_not_kept_in_memory(server: Server) -> None:
    server.answer = b" " * (1 << 20)
    with pytest.raises(AssistantUnavailableError):
        await ask(f"http://127.0.0.1:{server.port}/v1", Inside(everything=True))
    assert server.sent_bytes < 4 * guarded.LARGEST_ANSWER  # with what was on its way


async def test_an_answer_that_would_become_large_is_not_unpacked(server: Server) -> None:
    server.answer, server.headers = b"not looked at", {"Content-Encoding": "gzip"}
    with pytest.raises(AssistantUnavailableError, match="Connection"):
        await ask(f"http://127.0.0.1:{server.port}/v1", Inside(everything=True))
    assert server.encodings == ["identity"]
