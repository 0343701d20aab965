"""Something on a real socket that answers Graph calls in every way Meta or a network might."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One call as it arrived."""

    method: str
    path_qs: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class MetaServer:
    """Remembers the calls and gives one `answer` to all."""

    answer: Answer
    url: str = ""
    calls: list[Asked] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        self.calls.append(
            Asked(request.method, request.path_qs, dict(request.query), dict(request.headers), body)
        )
        return await self.answer(request)


@asynccontextmanager
async def meta_server(answer: Answer) -> AsyncIterator[MetaServer]:
    server = MetaServer(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


def says(body: object, status: int = 200, **headers: str) -> Answer:
    """A JSON answer; underscores in the names of headers stand for hyphens."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


def says_text(text: str, status: int = 200, content_type: str = "text/html") -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type=content_type)

    return answer


def refuses(code: int, subcode: int | None = None, status: int = 400, **headers: str) -> Answer:
    error: dict[str, Any] = {
        "message": f"(#{code}) refused",
        "type": "OAuthException",
        "code": code,
        "fbtrace_id": "AxIIVeNpuf3y2jeXdufRcEX",
    }
    if subcode is not None:
        error["error_subcode"] = subcode
    return says({"error": error}, status, **headers)


async def hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def hangs_in_the_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"message_id":')
    return await hangs(request)


async def resets(request: web.Request) -> web.StreamResponse:
    """After the whole request was read: it may have been carried out."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def truncates(request: web.Request) -> web.StreamResponse:
    """Promises a hundred bytes, gives a few, and is gone."""
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    await response.write(b'{"message_id":"m_1"}')
    assert request.transport is not None
    request.transport.close()
    return response


class KeptConnections:
    """A bare server: answers the first request on a connection, then does as it is told.

    Requests end with the last brace of a JSON body, or with the head if there is none.
    """

    ANSWER = b'{"message_id":"m_1","data":[]}'

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.requests = 0
        self.reset_second = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        first_connection = len(self.writers) == 1
        served = 0
        while await self._read_request(reader):
            self.requests += 1
            if served and first_connection and self.reset_second:
                writer.transport.abort()
                return
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.ANSWER)}\r\n\r\n"
            writer.write(head.encode() + self.ANSWER)
            served += 1
        writer.close()

    @staticmethod
    async def _read_request(reader: asyncio.StreamReader) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                int(line.split(b":")[1])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            ]
            await reader.readexactly(sum(lengths))
        except (asyncio.IncompleteReadError, OSError):
            return False
        return True


@asynccontextmanager
async def kept_connections() -> AsyncIterator[KeptConnections]:
    kept = KeptConnections()
    server = await asyncio.start_server(kept.serve, "127.0.0.1", 0)
    kept.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield kept
    finally:
        server.close()
        for writer in kept.writers:
            writer.transport.abort()
