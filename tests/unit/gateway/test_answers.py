"""What is written back, byte by byte: the quick answer is one that aiohttp could have given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import HttpVersion
from aiohttp.test_utils import TestServer, make_mocked_request

from libs.common.web import Readiness
from services.gateway.answers import accepted
from services.gateway.app import create_app
from services.gateway.handlers import PUBLISHER
from tests.unit.gateway.conftest import FakePublisher, gateway_settings
from tests.unit.gateway.webhooks import META_BODY, META_SIGNATURE

WITHIN_S = 5.0
Post = Callable[..., "asyncio.Future[bytes]"]


def request(*headers: str, version: str = "1.1") -> bytes:
    lines = (
        f"POST /webhooks/messenger HTTP/{version}",
        "Host: hooks",
        f"X-Hub-Signature-256: {META_SIGNATURE}",
        f"Content-Length: {len(META_BODY)}",
        *headers,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + META_BODY


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def port(readiness: Readiness) -> AsyncIterator[int]:
    app = create_app(gateway_settings(), readiness)
    app[PUBLISHER].set(FakePublisher())
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def exchanged(port: int, *requests: bytes) -> bytes:
    """All that comes back until the other side closes; ours is half-closed after the requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"".join(requests))
        answers = b""
        async with asyncio.timeout(WITHIN_S):
            while answers.count(b"EVENT_RECEIVED") < len(requests):
                chunk = await reader.read(65536)
                if not chunk:
                    break
                answers += chunk
        return answers
    finally:
        writer.close()


async def test_the_quick_answer_has_what_a_reader_needs(port: int) -> None:
    head, _, text = (await exchanged(port, request())).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    given = dict(field.split(": ", 1) for field in fields)
    assert status == "HTTP/1.1 200 OK"
    assert text == b"EVENT_RECEIVED"
    assert given["Content-Length"] == str(len(text))
    assert given["Content-Type"] == "text/plain; charset=utf-8"
    assert parsedate_to_datetime(given["Date"]).tzinfo is not None
    assert "Connection" not in given


async def test_connections_stay_open_for_more(port: int) -> None:
    answers = await exchanged(port, request(), request(), request())
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request("Connection: close"), b"connection: close"),
        (request(version="1.0"), b"http/1.0 200"),
        (request("Connection: keep-alive", version="1.0"), b"connection: keep-alive"),
    ],
)
async def test_who_wants_it_otherwise_gets_it_so(port: int, asked: bytes, told: bytes) -> None:
    answer = await exchanged(port, asked)
    assert told in answer.lower()
    assert answer.endswith(b"EVENT_RECEIVED")


async def test_a_gateway_that_leaves_closes_the_connection(port: int, readiness: Readiness) -> None:
    readiness.leaving = True
    assert b"connection: close" in (await exchanged(port, request())).lower()


@pytest.mark.parametrize(
    ("stays", "version", "is_quick"),
    [(True, (1, 1), True), (False, (1, 1), False), (True, (1, 0), False)],
)
def test_the_quick_answer_is_for_connections_that_stay(
    stays: bool, version: tuple[int, int], is_quick: bool
) -> None:
    asked = make_mocked_request("POST", "/", version=HttpVersion(*version))
    assert (accepted(asked, stays=stays) is accepted(asked, stays=True)) is is_quick


async def test_nobody_is_answered_who_is_gone() -> None:
    asked = make_mocked_request("POST", "/")
    transport = asked.transport
    assert transport is not None
    transport.is_closing.return_value = True  # type: ignore[attr-defined]
    with pytest.raises(ConnectionResetError):
        await accepted(asked, stays=True).prepare(asked)
